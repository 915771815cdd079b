import pytest
import torch
from mmengine.hooks import Hook

from mmdualhead.errors import UserError
from tests.engine.conftest import Clips
from tests.engine.hooks.conftest import rewrite


@pytest.mark.fault(
    'a NaN in one training clip',
    'loss nan to the end; NaN weights saved as best',
    'stops at its batch, names the clip',
)
def test_clip_with_a_nan_stops_training_and_is_named(make_runner, tmp_path):
    clips = Clips()
    clips.inputs[5, 1] = float('nan')
    with pytest.raises(UserError, match=r'loss.* is nan in epoch 1.*The input of clip5 is not finite'):
        make_runner(train=clips).train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_clip_with_huge_numbers_is_named(make_runner):
    clips = Clips()
    clips.inputs[5, 1] = 1e38
    with pytest.raises(UserError, match=r'input is finite, but huge, of clip5 \(1e\+38\)\.'):
        make_runner(train=clips).train()


def test_learning_rate_too_high_stops_training_with_finite_inputs(make_runner):
    with pytest.raises(UserError, match=r'learning rate 9.*The inputs are finite. Clips of the'):
        make_runner(rate=1e38).train()


def test_non_finite_weights_are_not_saved(make_runner, tmp_path):
    class Spoil(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, batch_idx, **_):
            if batch_idx == 3:
                runner.model.fc.bias.data.fill_(float('inf'))

    with pytest.raises(UserError, match=r'nothing is saved: 1 weights are not finite, fc\.bias first'):
        make_runner(extra_hooks=[Spoil()]).train()
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize('mode', ['val', 'test'])
@pytest.mark.fault('a NaN or infinity in one evaluated clip', 'scored as usual', 'stops, names the clip')
def test_clip_with_a_nan_stops_evaluation(make_runner, trained, mode):
    clips = Clips()
    clips.inputs[2] = float('inf')
    runner = make_runner(val=clips, load_from=str(trained))
    with pytest.raises(UserError, match='the scores of clip2 are not finite'):
        getattr(runner, mode)()


@pytest.mark.fault('checkpoint with NaN weights', 'scored as usual', 'refused')
def test_checkpoint_with_a_nan_is_refused(make_runner, trained):
    weights = torch.load(trained)['state_dict']
    weights['fc.weight'][0, 0] = float('nan')
    rewrite(trained, state_dict=weights)
    with pytest.raises(
        UserError,
        match=r'epoch_1\.pth: 1 weights are not finite, fc\.weight first',
    ):
        make_runner(load_from=str(trained)).test()

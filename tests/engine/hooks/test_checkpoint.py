from unittest import mock

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook

from mmdualhead.engine import checkpoints
from mmdualhead.engine.hooks import AtomicCheckpointHook
from mmdualhead.errors import UserError
from tests.conftest import file_size_limit


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.mark.parametrize(('keep', 'kept'), [(1, [4]), (2, [3, 4]), (-1, [1, 2, 3, 4])])
def test_keeps_the_newest_and_the_best(make_runner, tmp_path, keep, kept):
    checkpoint = {'type': 'AtomicCheckpointHook', 'interval': 1, 'max_keep_ckpts': keep, 'save_best': 'acc'}
    make_runner(epochs=4, hooks={'checkpoint': checkpoint}).train()
    found = names(tmp_path / 'run')
    assert [name for name in found if name.startswith('epoch')] == [f'epoch_{i}.pth' for i in kept]
    assert len([name for name in found if name.startswith('best')]) == 1


def test_goes_on_pruning_after_resume(make_runner, tmp_path):
    make_runner(epochs=2).train()
    make_runner(epochs=4, resume=True).train()
    found = names(tmp_path / 'run')
    assert [name for name in found if name.startswith('epoch')] == ['epoch_4.pth']
    assert len(found) == 2


def test_several_metrics_keep_one_best_each(make_runner, tmp_path):
    checkpoint = {
        'type': 'AtomicCheckpointHook',
        'interval': 1,
        'save_best': ['acc', 'loss'],
        'max_keep_ckpts': 1,
    }
    with mock.patch(
        'tests.engine.conftest.MeanScore.compute_metrics',
        side_effect=[{'acc': a, 'loss': b} for a, b in ((1, 3), (3, 2), (2, 1))],
    ):
        make_runner(epochs=3, hooks={'checkpoint': checkpoint}).train()
    assert names(tmp_path / 'run') == ['best_acc_epoch_2.pth', 'best_loss_epoch_3.pth', 'epoch_3.pth']


def test_a_metric_that_is_not_measured_is_named(make_runner):
    checkpoint = {'type': 'AtomicCheckpointHook', 'interval': 1, 'save_best': 'acc/top2'}
    with pytest.raises(UserError, match="save_best is 'acc/top2', but the validation gives acc"):
        make_runner(hooks={'checkpoint': checkpoint}).train()


@pytest.mark.parametrize('dies_at', range(1, 7))
@pytest.mark.fault(
    'killed while a checkpoint is written, one is kept',
    'none is left',
    'the old one goes once the new one is whole',
)
def test_a_whole_checkpoint_is_there_whenever_the_process_dies(make_runner, tmp_path, dies_at):
    """Dies in the middle of the n-th file that is written, as SIGKILL would."""
    written = []

    class Killed(BaseException):
        pass

    def put(_backend, obj, filepath):
        written.append(filepath)
        if len(written) == dies_at:
            raise Killed
        LocalBackend().put(bytes(obj), filepath)

    with mock.patch.object(checkpoints.AtomicBackend, 'put', put), pytest.raises(Killed):
        make_runner(epochs=9).train()
    newest, passed_over = checkpoints.newest_checkpoint(tmp_path / 'run')
    assert passed_over == []
    assert (newest is not None) == (dies_at > 1)
    # The best one is written after the first epoch's, and from then on there always is one.
    assert any(name.startswith('best') for name in names(tmp_path / 'run')) == (dies_at > 2)
    if newest:
        assert torch.load(newest)['meta']['epoch'] >= 1


@pytest.mark.fault(
    'killed between writing a checkpoint and removing the old',
    '-',
    'the old one goes at the next start',
)
def test_what_was_to_be_removed_is_removed_after_a_kill(make_runner, tmp_path):
    """Dies after the second epoch's file is whole and before the first one's goes."""
    keep_one = {'checkpoint': {'type': 'AtomicCheckpointHook', 'interval': 1, 'max_keep_ckpts': 1}}
    with (
        mock.patch.object(checkpoints.AtomicBackend, 'remove', side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        make_runner(epochs=2, hooks=keep_one).train()
    assert names(tmp_path / 'run') == ['epoch_1.pth', 'epoch_2.pth']
    make_runner(epochs=2, resume=True, hooks=keep_one).train()
    assert names(tmp_path / 'run') == ['epoch_2.pth']


@pytest.mark.fault(
    'disk full while a checkpoint is written', 'a partial file stays; traceback', 'error; --resume goes on'
)
def test_a_full_disk_leaves_whole_checkpoints(make_runner, tmp_path):
    class Enlarge(Hook):
        """Checkpoints beyond the limit, while logs stay below it."""

        def before_save_checkpoint(self, runner, checkpoint):  # noqa: ARG002
            checkpoint['padding'] = torch.zeros(100_000)

    make_runner(epochs=1).train()
    runner = make_runner(epochs=2, resume=True, extra_hooks=[Enlarge()])
    with (
        file_size_limit(200_000),
        pytest.raises(UserError, match=r'epoch_2.* could not be written: .*--resume'),
    ):
        runner.train()
    assert 'epoch_1.pth' in names(tmp_path / 'run')
    assert 'epoch_2.pth' not in names(tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('.*partial'))


def test_an_unknown_argument_is_refused_before_an_epoch_is_over():
    with pytest.raises(UserError, match='intervall'):
        AtomicCheckpointHook(intervall=2)

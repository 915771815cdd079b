import pytest
import torch

from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput
from tests.engine.hooks.conftest import rewrite


def test_misspelt_keys_are_all_warned_of(make_runner, warnings):
    wrong = {'optim_wraper': {}, 'param_schedular': []}
    runner = make_runner(epochs=1, config={**wrong, 'train_pipeline': [], 'my_name': 1})
    log = warnings(runner)
    runner.train()
    assert "nothing reads 'optim_wraper'; did you mean 'optim_wrapper'?" in log.text
    assert "nothing reads 'param_schedular'; did you mean 'param_scheduler'?" in log.text
    assert 'train_pipeline' not in log.text


@pytest.mark.fault(
    'test of a checkpoint of another stream', 'nothing is said', 'refused; in fine-tuning a warning'
)
@pytest.mark.parametrize(('stream', 'refused'), [('b', True), ('j', False)])
@pytest.mark.parametrize('is_old', [False, True])
def test_other_stream_than_trained_on_is_refused(make_runner, trained, warnings, stream, refused, is_old):
    """Older checkpoints have their config as text alone."""
    meta = torch.load(trained)['meta']
    loader = {'dataset': {'pipeline': [{'type': 'GenSkeFeat', 'feats': ['j']}]}}
    plain = None if is_old else {'train_dataloader': loader}
    text = f'train_dataloader = {loader}' if is_old else ''
    rewrite(trained, meta={**meta, 'plain_config': plain, 'cfg': text})
    now = {'test_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': stream}]}}}
    runner = make_runner(load_from=str(trained), config=now)
    if refused:
        with pytest.raises(UserError, match="ON OTHER INPUT: stream: trained with 'j', now 'b'"):
            runner.test()
        return
    log = warnings(runner)
    runner.test()
    assert 'OTHER INPUT' not in log.text


@pytest.mark.parametrize(
    ('config', 'complaint'),
    [
        (
            {
                'train_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'j'}]}},
                'val_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'b'}]}},
            },
            r"differ in their stream: train_dataloader has 'j', val_dataloader has 'b'",
        ),
        ({'randomness': {'seed': 0}}, r'--seed: has no effect.*randomness\.seed=1'),
        ({'randomness': {'seed': 1}}, r'--deterministic: has no effect.*randomness\.deterministic=True'),
    ],
)
@pytest.mark.fault(
    'val of another stream; --seed or --deterministic without effect',
    '-',
    'error before training',
)
def test_what_no_one_can_mean_ends_before_training(make_runner, monkeypatch, config, complaint):
    if 'randomness' in config:
        monkeypatch.setattr('sys.argv', ['train.py', '--deterministic', '--seed', '1'])
    runner = make_runner(config=config)
    with pytest.raises(UserError, match=complaint):
        runner.train()
    assert runner.iter == 0


def test_meta_says_what_was_trained_on_without_known_data_sets(make_runner, tmp_path):
    pipeline = [{'type': 'NormalizeSkeleton3D'}, {'type': 'SkeletonStream', 'stream': 'b'}]
    config = {'train_dataloader': {'dataset': {'pipeline': pipeline, 'split': ('a', 'b')}}}
    make_runner(epochs=1, config=config).train()
    meta = torch.load(tmp_path / 'run' / 'epoch_1.pth')['meta']
    said = NetworkInput.of_checkpoint(meta)
    assert (said.skeleton.name, said.stream, said.normalization) == ('nturgb+d', 'b', '3d')
    assert not {'fingerprint', 'trained_on'} & meta.keys()
    assert meta['plain_config']['train_dataloader']['dataset']['split'] == ['a', 'b']

import pytest
import torch

from mmdualhead.engine.checkpoints import RunError
from tests.engine.hooks.conftest import rewrite


def test_misspelt_keys_are_all_warned_of(make_runner, warnings):
    wrong = {'optim_wraper': {}, 'param_schedular': []}
    runner = make_runner(epochs=1, config={**wrong, 'train_pipeline': [], 'my_name': 1})
    log = warnings(runner)
    runner.train()
    assert "'optim_wraper', which nothing reads. Is 'optim_wrapper' meant?" in log.text
    assert "'param_schedular', which nothing reads. Is 'param_scheduler' meant?" in log.text
    assert 'train_pipeline' not in log.text


@pytest.mark.parametrize(('stream', 'warned'), [('b', True), ('j', False)])
@pytest.mark.parametrize('is_old', [False, True])
def test_other_stream_than_trained_on_is_warned_of(make_runner, trained, warnings, stream, warned, is_old):
    """Older checkpoints have their config as text alone."""
    meta = torch.load(trained)['meta']
    loader = {'dataset': {'pipeline': [{'type': 'GenSkeFeat', 'feats': ['j']}]}}
    plain = None if is_old else {'train_dataloader': loader}
    text = f'train_dataloader = {loader}' if is_old else ''
    rewrite(trained, meta={**meta, 'plain_config': plain, 'cfg': text})
    now = {'test_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': stream}]}}}
    runner = make_runner(load_from=str(trained), config=now)
    log = warnings(runner)
    runner.test()
    assert ("'stream': 'j'}, now {'layout': 'nturgb+d', 'stream': 'b'}" in log.text) == warned
    assert ('OTHER INPUT' in log.text) == warned


@pytest.mark.parametrize(
    ('config', 'complaint'),
    [
        ({'default_hooks': {'chekpoint': {}}}, r'chekpoint: .*Is default_hooks\.checkpoint meant'),
        (
            {
                'train_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'j'}]}},
                'val_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'b'}]}},
            },
            r"different streams: stream: train_dataloader has .*'j'}, val_dataloader has .*'b'}",
        ),
        ({'randomness': {'seed': 0}}, r'--seed 1 has no effect.*randomness\.seed=1'),
    ],
)
@pytest.mark.fault(
    'val of another stream; misspelt hook; --seed without effect',
    '-',
    'error before training',
)
def test_what_no_one_can_mean_ends_before_training(make_runner, monkeypatch, config, complaint):
    if 'randomness' in config:
        monkeypatch.setattr('sys.argv', ['train.py', '--seed', '1'])
    runner = make_runner(config=config)
    with pytest.raises(RunError, match=complaint):
        runner.train()
    assert runner.iter == 0


@pytest.mark.fault(
    'trained on X-sub, tested on X-view', 'nothing is said', 'warned: the test holds training clips'
)
def test_a_test_under_another_protocol_is_warned_of(make_runner, trained, warnings):
    meta = torch.load(trained)['meta']
    rewrite(
        trained, meta={**meta, 'plain_config': {'train_dataloader': {'dataset': {'split': 'xsub_train'}}}}
    )
    now = {'test_dataloader': {'dataset': {'split': 'xview_val'}}}
    runner = make_runner(load_from=str(trained), config=now)
    log = warnings(runner)
    runner.test()
    assert "THE TEST MAY HOLD CLIPS OF THE TRAINING: the checkpoint was trained on split 'xsub" in log.text

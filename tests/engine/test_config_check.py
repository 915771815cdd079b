from pathlib import Path

import pytest
from mmengine.config import Config

from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_check import config_faults, config_notes, misspelt_keys, split_notes
from mmdualhead.engine.findings import report_findings

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('train_datalaoder', 'train_dataloader'),
        ('Load_from', 'load_from'),
        ('work_dirs', 'work_dir'),
    ],
)
def test_misspelt(key, meant):
    assert misspelt_keys({key: {}, meant: {}}) == {key: meant}


def test_names_of_ones_own_are_not_misspelt():
    own = (
        *(
            'ann_file',
            'dataset_type',
            'train_pipeline',
            'val_pipeline',
            'test_pipeline',
            'clip_len',
            'base_lr',
        ),
        *('num_classes', 'graph', 'stream', 'tta_pipeline', 'vis_backends', 'split', 'data_root', 'epochs'),
    )
    assert misspelt_keys(dict.fromkeys(own)) == {}


def test_known_keys_are_not_misspelt():
    known = ('model', 'cfg', 'custom_imports', 'auto_scale_lr', 'optim_wrapper', 'compile')
    assert misspelt_keys(dict.fromkeys(known)) == {}


@pytest.mark.parametrize(
    ('key', 'value', 'meant'),
    [
        ('max_epochs', 5, 'train_cfg.max_epochs'),
        ('max_epochs', 80, None),
        ('train_pipeline', [], 'train_dataloader.dataset.pipeline'),
        ('train_pipeline', [{'type': 'PadTo'}], None),
        ('lr_config', {'policy': 'step'}, 'param_scheduler'),
        ('my_own', 5, None),
    ],
)
def test_what_changes_nothing(key, value, meant):
    config = {
        'train_cfg': {'max_epochs': 80},
        'train_dataloader': {'dataset': {'pipeline': [{'type': 'PadTo'}]}},
        key: value,
    }
    assert misspelt_keys(config).get(key) == meant


@pytest.mark.parametrize(
    ('name', 'channels', 'fault'),
    [
        ('stgcn_utd_mhad_j', 64, 'is 64, but the features have 128 channels'),
        ('msg3d_utd_mhad_j', 64, 'is 64, but the features have 192 channels'),
        ('msg3d_utd_mhad_j', 192, None),
        ('quickstart_j', {'coarse': 1, 'fine': 24}, "have {'coarse': 48, 'fine': 24}"),
    ],
)
def test_channels_of_the_head(name, channels, fault):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.model.cls_head['in_channels'] = channels
    found = list(config_faults(config._cfg_dict))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def loader(split, stream, normalize='NormalizeSkeleton3D'):
    steps = [{'type': normalize}, {'type': 'SkeletonStream', 'stream': stream}]
    return {'dataset': {'ann_file': 'x.pkl', 'split': split, 'pipeline': steps}}


def test_loaders_that_contradict_each_other():
    config = {'train_dataloader': loader('xsub_train', 'j'), 'test_dataloader': loader('xsub_val', 'j')}
    assert not [*config_faults(config), *config_notes(config)]
    (fault,) = config_faults({**config, 'val_dataloader': loader('xsub_val', 'b')})
    assert 'different streams: stream: train_dataloader has ' in fault
    again = {**config, 'test_dataloader': loader('xsub_train', 'j', 'NormalizeOtherwise')}
    notes = list(config_notes(again))
    assert not list(config_faults(again))
    assert any("same clips, split 'xsub_train'" in note for note in notes)
    assert len(notes) > 1


@pytest.mark.parametrize(
    ('split', 'warned'),
    [('xsub_val', False), ('xview_val', True), ('xsub_train', True), (['xview_val'], True)],
)
def test_a_test_on_clips_of_the_training(split, warned):
    trained = {'train_dataloader': loader('xsub_train', 'j')}
    assert bool(list(split_notes(trained, {'test_dataloader': loader(split, 'j')}))) == warned


def test_misspelt_hooks():
    names = ['chekpoint', 'checkpoint', 'my_own', 'interupt']
    hooks = {name: {'type': 'ParamSchedulerHook'} if name == 'my_own' else {} for name in names}
    with pytest.raises(RunError) as raised:
        report_findings(config_faults({'default_hooks': hooks}))
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        'default_hooks.chekpoint: there is no such hook. Is default_hooks.checkpoint meant?',
        'default_hooks.interupt: there is no such hook. Is default_hooks.interrupt meant?',
    ]

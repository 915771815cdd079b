from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from mmdualhead.datasets.transforms.streams import SkeletonStream
from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_check import (
    check_config,
    differences,
    foreign_split,
    head_faults,
    loader_conflicts,
    meta_of,
    misspelt_keys,
    network_input,
    parse_config,
    saved_config,
)

CONFIGS = Path(__file__).parents[2] / 'configs'

CONFIG = {
    'num_classes': 60,
    'train_dataloader': {
        'batch_size': 64,
        'dataset': {
            'type': 'RepeatDataset',
            'dataset': {
                'type': 'SkeletonDataset',
                'pipeline': [
                    {'type': 'NormalizeSkeleton3D', 'axes': (1, -0.5)},
                    {'type': 'ReplayPad', 'clip_len': 300},
                    {'type': 'SkeletonStream', 'stream': 'bm'},
                ],
            },
        },
    },
}


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


def test_a_checkpoint_s_meta_says_what_the_config_says():
    meta = meta_of(Config({**CONFIG, 'model': {'type': nn.Linear, 'channels': (1, 2)}, 'other': 1}))
    assert meta['network_input'] == network_input(CONFIG, 'train_dataloader')
    assert saved_config(meta)['model'] == {'type': 'Linear', 'channels': [1, 2]}
    text = {'cfg': Config(CONFIG).pretty_text}
    for read in (saved_config(meta), saved_config(text)):
        assert network_input(read, 'train_dataloader') == meta['network_input']
    assert saved_config({}) == {}


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
    found = head_faults(config._cfg_dict)
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_dumped_config_is_read_back():
    assert network_input(parse_config(Config(CONFIG).pretty_text), 'train_dataloader') == {
        'normalization': {'layout': 'nturgb+d', 'axes': [1, -0.5]},
        'stream': {'layout': 'nturgb+d', 'stream': 'bm'},
    }


def test_parsing_executes_nothing(tmp_path):
    lines = (
        'a = 1',
        f'open({str(tmp_path / "pwned")!r}, "w")',
        'b = dict(x=__import__("os").getcwd())',
        'c = [dict(y=-2.5)]',
    )
    assert parse_config('\n'.join(lines)) == {'a': 1, 'c': [{'y': -2.5}]}
    assert not list(tmp_path.iterdir())


def test_differences():
    trained = network_input(CONFIG, 'train_dataloader')
    assert differences(trained, network_input(Config(CONFIG), 'train_dataloader')) == []
    running = {'stream': {'layout': 'coco', 'stream': 'bm'}}
    assert differences(trained, running) == [
        "normalization: trained with {'layout': 'nturgb+d', 'axes': [1, -0.5]}, now 'absent'",
        "stream: trained with {'layout': 'nturgb+d', 'stream': 'bm'}, now {'layout': 'coco', 'stream': 'bm'}",
    ]


def pipeline_input(*steps):
    return network_input({'test_dataloader': {'dataset': {'pipeline': list(steps)}}}, 'test_dataloader')


def test_equal_steps_of_ours_and_of_mmaction2_are_no_difference():
    theirs = pipeline_input(
        {'type': 'PreNormalize3D'},
        {'type': 'mmaction.GenSkeFeat', 'dataset': 'nturgb+d', 'feats': ['j', 'b']},
    )
    ours = pipeline_input({'type': 'NormalizeSkeleton3D'}, {'type': 'SkeletonStream', 'stream': 'j+b'})
    assert differences(theirs, ours) == []
    others = pipeline_input({'type': 'PreNormalize2D'}, {'type': 'GenSkeFeat', 'dataset': 'coco'})
    assert len(differences(theirs, others)) == 3


def test_steps_that_are_classes_or_built():
    assert pipeline_input(
        {'type': SkeletonStream, 'stream': 'b'}, SkeletonStream(stream='j')
    ) == pipeline_input({'type': 'SkeletonStream', 'stream': 'b'})


@pytest.mark.parametrize('config', [{}, {'test_dataloader': None}, {'test_dataloader': {'batch_size': 1}}])
def test_config_without_a_data_set(config):
    assert network_input(config, 'test_dataloader') == {}


def loader(split, stream, normalize='NormalizeSkeleton3D'):
    steps = [{'type': normalize}, {'type': 'SkeletonStream', 'stream': stream}]
    return {'dataset': {'ann_file': 'x.pkl', 'split': split, 'pipeline': steps}}


def test_loaders_that_contradict_each_other():
    config = {'train_dataloader': loader('xsub_train', 'j'), 'test_dataloader': loader('xsub_val', 'j')}
    assert loader_conflicts(config) == ([], [])
    (fault,), _ = loader_conflicts({**config, 'val_dataloader': loader('xsub_val', 'b')})
    assert fault.startswith('stream: train_dataloader has ')
    again = {**config, 'test_dataloader': loader('xsub_train', 'j', 'NormalizeOtherwise')}
    faults, warnings = loader_conflicts(again)
    assert not faults
    assert any("same clips, split 'xsub_train'" in warning for warning in warnings)
    assert len(warnings) > 1


@pytest.mark.parametrize(
    ('split', 'warned'), [('xsub_val', False), ('xview_val', True), ('xsub_train', True)]
)
def test_a_test_on_clips_of_the_training(split, warned):
    trained = {'train_dataloader': loader('xsub_train', 'j')}
    assert bool(foreign_split(trained, {'test_dataloader': loader(split, 'j')}, 'test_dataloader')) == warned


def test_misspelt_hooks():
    names = ['chekpoint', 'checkpoint', 'my_own', 'interupt']
    hooks = {name: {'type': 'ParamSchedulerHook'} if name == 'my_own' else {} for name in names}
    with pytest.raises(RunError) as raised:
        check_config({'default_hooks': hooks})
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        'default_hooks.chekpoint: there is no such hook. Is default_hooks.checkpoint meant?',
        'default_hooks.interupt: there is no such hook. Is default_hooks.interrupt meant?',
    ]

import pytest
from mmengine.config import Config

from mmdualhead.engine.config_check import (
    differences,
    foreign_split,
    loader_conflicts,
    misspelt_hooks,
    misspelt_keys,
    network_input,
    parse_config,
)

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
    assert misspelt_keys([key, meant]) == {key: meant}


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
    assert misspelt_keys(own) == {}


def test_known_keys_are_not_misspelt():
    assert (
        misspelt_keys(['model', 'cfg', 'custom_imports', 'auto_scale_lr', 'optim_wrapper', 'compile']) == {}
    )


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
    assert misspelt_hooks(['chekpoint', 'checkpoint', 'my_own', 'interupt']) == {
        'chekpoint': 'checkpoint',
        'interupt': 'interrupt',
    }

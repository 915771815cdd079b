import pytest
from mmengine.config import Config
from torch import nn

from mmdualhead.datasets.transforms.streams import SkeletonStream
from mmdualhead.engine.checkpoint_meta import differences, meta_of, network_input, saved_config

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


def test_a_checkpoint_s_meta_says_what_the_config_says():
    meta = meta_of(Config({**CONFIG, 'model': {'type': nn.Linear, 'channels': (1, 2)}, 'other': 1}))
    assert meta['network_input'] == network_input(CONFIG, 'train_dataloader')
    assert saved_config(meta)['model'] == {'type': 'Linear', 'channels': [1, 2]}
    text = {'cfg': Config(CONFIG).pretty_text}
    for read in (saved_config(meta), saved_config(text)):
        assert network_input(read, 'train_dataloader') == meta['network_input']
    assert saved_config({}) == {}


def test_dumped_config_is_read_back():
    assert network_input(saved_config({'cfg': Config(CONFIG).pretty_text}), 'train_dataloader') == {
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
    assert saved_config({'cfg': '\n'.join(lines)}) == {'a': 1, 'c': [{'y': -2.5}]}
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

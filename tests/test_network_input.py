import pickle
import re
from typing import ClassVar

import pytest
from mmaction.datasets.transforms import GenSkeFeat, PreNormalize2D, PreNormalize3D, UniformSampleFrames
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from mmdualhead.datasets import FormatSkeletonInput, NormalizeSkeleton3D, SkeletonStream, UniformSampleClips
from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput, Sampling, datasets_of, share_of, step_name
from mmdualhead.program import find_configs
from mmdualhead.skeletons import SKELETONS
from mmdualhead.utils.plain_config import plain_config

OWN_LAYOUT = dict(joints=3, bones=[(1, 0), (2, 0)], pairs=[(1, 2)])
STEPS = [dict(type='NormalizeSkeleton3D'), dict(type='SkeletonStream', stream='bm')]


def of_steps(*steps):
    return NetworkInput.of_steps(steps)


@pytest.mark.parametrize(
    'name', [name for name in sorted(find_configs()) if re.search('quickstart|_j(_|$)', name)]
)
def test_a_shipped_config_gives_the_same_in_training_and_in_tests(name):
    config = Config.fromfile(find_configs()[name])
    train, test = (NetworkInput.of_config(config, loader) for loader in ('train_dataloader', 'test_pipeline'))
    assert train.differences(test) == []
    assert None not in (train.skeleton, train.num_person, train.num_classes)
    resampled = 'SortedSampleFrames' if 'nw_ucla_field' in name else 'TemporalCropResize'
    assert test.other_steps == ((resampled,) if 'nw_ucla' in name else ())
    assert train.stream == (name.rpartition('_')[2] if 'ablations' not in config.filename else 'j')


def test_what_a_config_says():
    found = NetworkInput.of_config(Config.fromfile(find_configs()['dualhead_ntu60_xsub_2d_b']))
    assert (found.skeleton, found.stream, found.normalization) == (SKELETONS['coco'], 'b', '2d')
    assert found.needs_picture
    assert not found.needs_depth
    sampling = Sampling(clip_len=100, num_clips=10, seed=255, before_stream=False)
    assert (found.sampling, found.num_person, found.channels, found.num_classes) == (sampling, 2, 3, 60)


def test_built_steps_and_configs_say_the_same():
    built = (
        NormalizeSkeleton3D('kinect_v1'),
        SkeletonStream('kinect_v1', stream='b+jm'),
        UniformSampleClips(48, 3, test_mode=True),
        FormatSkeletonInput(1),
    )
    configs = (
        dict(type='NormalizeSkeleton3D', layout='kinect_v1'),
        dict(type=SkeletonStream, layout='kinect_v1', stream='b+jm'),
        dict(type='UniformSampleClips', clip_len=48, num_clips=3, test_mode=True),
        dict(type='mmaction.FormatSkeletonInput', num_person=1),
    )
    assert of_steps(*built) == of_steps(*configs)
    theirs = (PreNormalize3D(), GenSkeFeat('nturgb+d', ['j', 'b']), UniformSampleFrames(clip_len=7))
    configs = (
        dict(type='PreNormalize3D'),
        dict(type='GenSkeFeat', feats=['j', 'b']),
        dict(type='UniformSampleFrames', clip_len=7),
    )
    assert of_steps(*theirs) == of_steps(*configs)


def test_equal_steps_of_ours_and_of_mmaction2_are_no_difference():
    theirs = of_steps(dict(type='PreNormalize3D'), dict(type='GenSkeFeat', feats=['j', 'b']))
    ours = of_steps(dict(type='NormalizeSkeleton3D'), dict(type='SkeletonStream', stream='j+b'))
    assert theirs.differences(ours) == []
    others = of_steps(dict(type='PreNormalize2D'), dict(type='GenSkeFeat', dataset='coco'))
    assert theirs.differences(others) == [
        "skeleton: trained with layout 'nturgb+d' (25 joints), now layout 'coco' (17 joints)",
        "stream: trained with 'j+b', now 'j'",
        "normalization: trained with '3d', now '2d'",
    ]
    # MMAction2 centers other layouts on the last joint.
    v1 = [dict(type='SkeletonStream', layout='kinect_v1', stream='j')]
    assert of_steps(dict(type='PreNormalize3D'), *v1).normalization == '3d of 25 joints'
    changed = of_steps(dict(type='PreNormalize3D', align_center=False))
    assert changed.differences(of_steps(dict(type='PreNormalize3D')))


def test_another_number_of_frames_is_a_difference():
    sampled, other = (of_steps(dict(type='UniformSampleFrames', clip_len=length)) for length in (24, 8))
    assert sampled.differences(other) == ['frames: trained with 24, now 8']
    assert sampled.differences(of_steps(dict(type='PadTo', length=24))) == []
    assert sampled.differences(of_steps()) == []


def test_other_bones_of_the_same_joints_are_a_difference():
    one, other = (dict(type='SkeletonStream', stream='j', layout=dict(joints=3, bones=bones))
                  for bones in ([(1, 0), (2, 0)], [(1, 0), (2, 1)]))  # fmt: skip
    (line,) = of_steps(one).differences(of_steps(other))
    assert line.endswith("layout 'custom' (3 joints) with other bones")
    with pytest.raises(UserError, match='different skeleton layouts'):
        of_steps(one, other)


@pytest.mark.fault(
    'MirrorSkeleton or RandomBoneLengths of another layout with as many joints',
    '-',
    'refused with both layouts',
)
@pytest.mark.parametrize('kind', ['MirrorSkeleton', 'RandomBoneLengths'])
def test_augmentation_of_another_layout(kind):
    stream = dict(type='SkeletonStream', stream='j', layout='openpose_25')
    with pytest.raises(UserError, match=r"different skeleton layouts: 'nturgb\+d', and 'openpose_25'"):
        of_steps(dict(type=kind), stream)
    assert of_steps(dict(type=kind, layout='openpose_25'), stream).other_steps == (kind,)
    seen = of_steps(dict(type=kind, layout='kinect_v1'), dict(type='VirtualCamera'))
    assert (seen.recorded.name, seen.skeleton.name) == ('kinect_v1', 'body_13')


def test_a_picture_size_that_the_step_states_is_enough():
    assert of_steps(dict(type='PreNormalize2D')).needs_picture
    stated = of_steps(dict(type='PreNormalize2D', img_shape=(480, 640)))
    assert not stated.needs_picture
    assert stated.img_shape == (480, 640)
    assert of_steps(dict(type='PreNormalize2D', img_shape=(1080, 1920))).img_shape == (1080, 1920)
    assert of_steps(PreNormalize2D()).needs_picture  # built, it can't tell
    assert of_steps(PreNormalize2D((480, 640))) == stated


def test_a_step_of_one_s_own_declares_its_share(monkeypatch):
    class Metric(BaseTransform):
        network_input: ClassVar = dict(normalization='metric')

        def transform(self, results):
            return results

    class Tilt(Metric):
        @staticmethod
        def network_input(angle):
            return dict(normalization=f'tilted by {angle}')

        def __init__(self, angle):
            self.angle = angle

    class Silent(BaseTransform):
        def transform(self, results):
            return results

    for kind in (Metric, Tilt, Silent):
        monkeypatch.setitem(TRANSFORMS.module_dict, kind.__name__, kind)
    assert of_steps(dict(type='Metric')).normalization == 'metric'
    assert of_steps(dict(type='Metric'), Tilt(3)).normalization == 'metric, tilted by 3'
    assert of_steps(dict(type='Silent')).other_steps == share_of(Silent())['other_steps'] == ('Silent',)
    with pytest.raises(UserError, match=r"the pipeline has Tilt\({'angel': 3}\)"):
        of_steps(dict(type='Tilt', angel=3))


def test_nothing_is_imported_for_a_dotted_name():
    assert share_of(dict(type='antigravity.Step')) == {'other_steps': ('Step',)}
    assert step_name(dict(type='a.B')) == 'B'


@pytest.mark.parametrize('layout', ['coco', OWN_LAYOUT])
def test_a_checkpoint_says_what_it_was_trained_on(layout):
    found = NetworkInput.of_config(
        dict(
            test_pipeline=[dict(type='SkeletonStream', layout=layout, stream='b')],
            model=dict(backbone=dict(in_channels=3, num_person=2), cls_head=dict(num_classes=4)),
        )
    )
    meta = pickle.loads(pickle.dumps(dict(network_input=found.to_meta())))
    assert NetworkInput.of_checkpoint(meta) == found
    for damage in (dict(version=99), dict(skeleton='x'), dict(sampling=dict(no=1)), dict(classes=3)):
        with pytest.raises(UserError, match='network_input'):
            NetworkInput.of_checkpoint(dict(network_input=meta['network_input'] | damage))


def test_an_older_checkpoint_is_read_by_its_config():
    config = dict(train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=STEPS))))
    old = dict(network_input=dict(stream=dict(layout='nturgb+d')), plain_config=plain_config(config))
    assert NetworkInput.of_checkpoint(old) == NetworkInput.of_config(config, 'train_dataloader')
    assert NetworkInput.of_checkpoint(dict(cfg=Config(config).pretty_text)) == of_steps(*STEPS)
    assert NetworkInput.of_checkpoint({}) is None


def test_data_sets_within_others():
    inner = [dict(ann_file=name, pipeline=STEPS) for name in 'ab']
    joined = dict(type='ConcatDataset', datasets=inner)
    config = dict(train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=joined)))
    assert datasets_of(config, 'train_dataloader') == inner
    assert NetworkInput.of_config(config, 'train_dataloader').stream == 'bm'
    inner[1]['pipeline'] = STEPS[1:]
    with pytest.raises(
        UserError, match="different network input: normalization: one has '3d', another nothing"
    ):
        NetworkInput.of_config(config, 'train_dataloader')


@pytest.mark.parametrize('config', [{}, {'test_dataloader': None}, {'test_dataloader': {'batch_size': 1}}])
def test_a_config_without_a_data_set(config):
    assert NetworkInput.of_config(config, 'test_dataloader') == NetworkInput()

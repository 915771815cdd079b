import copy

import numpy as np
import pytest
from mmaction.datasets.transforms import GenSkeFeat
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets import SkeletonStream, UniformSampleClips
from mmdualhead.datasets.transforms.streams import (
    STREAMS,
    Stream,
    bone_vectors,
    motion,
    parse_stream,
    register_stream,
)
from mmdualhead.skeletons import KINECT_V1, get_skeleton
from tests.datasets.clips import make_clip

ALL = ['j', 'b', 'jm', 'bm', 'j+b', 'bm+jm+b+j']


def image_clip(layout, channels=2, score=False):
    joints = get_skeleton(layout).num_joints
    rng = np.random.default_rng(1)
    clip = dict(keypoint=rng.random((2, 9, joints, channels), np.float32))
    return clip | (dict(keypoint_score=rng.random((2, 9, joints), np.float32)) if score else {})


@pytest.mark.parametrize('stream', ALL)
@pytest.mark.parametrize(
    ('layout', 'clip'),
    [
        ('nturgb+d', dict(keypoint=make_clip(2)['keypoint'])),
        ('nturgb+d', dict(keypoint=make_clip(2)['keypoint'].astype(np.float64))),
        ('openpose', image_clip('openpose')),
        ('openpose', image_clip('openpose', score=True)),
        ('openpose', image_clip('openpose', channels=3)),
        ('coco', image_clip('coco', score=True)),
        ('coco', image_clip('coco', channels=3)),
    ],
    ids=['ntu', 'ntu float64', 'openpose', 'openpose scored', 'openpose xyc', 'coco scored', 'coco xyc'],
)
def test_equals_mmaction_bit_for_bit(layout, clip, stream):
    theirs = GenSkeFeat(dataset=layout, feats=stream.split('+')).transform(copy.deepcopy(clip))
    ours = SkeletonStream(layout, stream=stream).transform(copy.deepcopy(clip))
    assert ours['keypoint'].dtype == theirs['keypoint'].dtype
    np.testing.assert_array_equal(ours['keypoint'], theirs['keypoint'])
    assert 'keypoint_score' not in ours


@pytest.mark.fault('samples are drawn before motion is formed', 'motion from one sample to the next', 'none')
def test_motion_ends_with_its_sample():
    clip = make_clip(2, 60)
    ours = SkeletonStream(stream='jm+b').transform(
        UniformSampleClips(8, num_clips=3, test_mode=True).transform(copy.deepcopy(clip))
    )['keypoint']
    assert ours.shape[:2] == (2, 24)
    drawn = UniformSampleClips(8, num_clips=3, test_mode=True).transform(copy.deepcopy(clip))['keypoint']
    for start in (0, 8, 16):
        alone = SkeletonStream(stream='jm+b').transform(dict(keypoint=drawn[:, start : start + 8]))
        np.testing.assert_array_equal(ours[:, start : start + 8], alone['keypoint'])
    # MMAction2 draws frames before it takes them.
    untaken = dict(copy.deepcopy(clip), num_clips=3, clip_len=8)
    np.testing.assert_array_equal(
        SkeletonStream(stream='jm').transform(untaken)['keypoint'],
        SkeletonStream(stream='jm').transform(copy.deepcopy(clip))['keypoint'],
    )


@pytest.mark.parametrize('layout', ['kinect_v1', dict(joints=4, bones=[(0, 1), (2, 1), (3, 2)])])
def test_bones_of_any_layout_lead_back_to_the_joints(layout):
    skeleton = get_skeleton(layout)
    keypoint = make_clip(2, 5, joints=skeleton.num_joints)['keypoint']
    bone = bone_vectors(keypoint, skeleton)
    root = next(joint for joint, parent in enumerate(skeleton.parents) if joint == parent)
    np.testing.assert_array_equal(bone[:, :, root], 0)
    for joint in range(skeleton.num_joints):
        path, at = np.zeros_like(bone[:, :, 0]), joint
        while at != root:
            path, at = path + bone[:, :, at], skeleton.parents[at]
        np.testing.assert_allclose(keypoint[:, :, root] + path, keypoint[:, :, joint], atol=1e-5)


def test_motion_adds_up():
    keypoint = make_clip(2, 7)['keypoint'].astype(np.float64)
    moved = motion(keypoint)
    np.testing.assert_array_equal(moved[:, -1], 0)
    np.testing.assert_allclose(keypoint[:, :1] + moved.cumsum(1)[:, :-1], keypoint[:, 1:])
    assert not motion(keypoint[:, :1]).any()


def test_leaves_the_joints_behind_and_its_argument_alone():
    clip = make_clip(1, 5, joints=20)
    before = clip['keypoint'].copy()
    result = SkeletonStream('kinect_v1', stream='bm').transform(dict(clip))
    np.testing.assert_array_equal(result['joints'], before)
    np.testing.assert_array_equal(clip['keypoint'], before)


@pytest.mark.parametrize('stream', ['', 'x', 'j+x', 'j+j', 'J', None, ['j']])
def test_unknown_stream(stream):
    with pytest.raises(ValueError, match='unknown stream'):
        parse_stream(stream)


def test_other_layout_names_the_clip():
    with pytest.raises(ValueError, match=r"'S003'.*25 joints.*'coco' 17"):
        SkeletonStream('coco', stream='b').transform(make_clip(seed=3))


def test_no_stream_is_an_error_and_not_joints():
    with pytest.raises(TypeError, match='stream'):
        TRANSFORMS.build(dict(type='SkeletonStream'))


def test_repr():
    assert repr(SkeletonStream(KINECT_V1, stream='b')) == "SkeletonStream(layout='kinect_v1', stream='b')"


def test_a_registered_stream_is_formed_alone_and_joined(monkeypatch):
    monkeypatch.setattr('mmdualhead.datasets.transforms.streams.STREAMS', dict(STREAMS))
    register_stream('twice', 'twice the joints')(lambda keypoint, *_: 2 * keypoint)
    clip = make_clip(2)
    joints = clip['keypoint']
    formed = SkeletonStream(stream='j+twice').transform(copy.deepcopy(clip))['keypoint']
    np.testing.assert_array_equal(formed, np.concatenate([joints, 2 * joints], -1))


@pytest.mark.fault(
    'stream of a user that loses a frame, or gives nothing', '-', 'refused, names clip and stream'
)
@pytest.mark.parametrize('form', [lambda x, *_: x[:, 1:], lambda *_: None], ids=['a frame less', 'nothing'])
def test_a_stream_keeps_persons_frames_and_joints(form, monkeypatch):
    monkeypatch.setitem(STREAMS, 'mine', Stream('mine', form))
    clip = make_clip(2)
    with pytest.raises(ValueError, match=rf"clip '{clip['frame_dir']}': stream 'mine' returns shape \("):
        SkeletonStream(stream='mine').transform(clip)


@pytest.mark.parametrize('name', ['j', 'a+b'])
def test_a_stream_needs_a_name_of_its_own(name):
    with pytest.raises(ValueError, match='taken or has a'):
        register_stream(name, 'no')

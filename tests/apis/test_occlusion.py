import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.occlusion import occlude, without_frames, without_joints
from mmdualhead.skeletons import KINECT_V1, get_skeleton


def make_clip(frames=24, persons=1):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(persons, frames, 20, 3)) * 0.1 + rng.normal(size=(20, 3))).astype(np.float32)


def test_the_drops_are_those_of_the_changed_recordings():
    inferencer, clip = SkeletonInferencer(device='cpu'), make_clip()
    result = occlude(inferencer, dict(frame_dir='c', keypoint=clip, label=0), span=6, unit='m')
    assert result.joints.shape == (20,)
    assert result.frames.shape == (24,)
    changed = [list(without_joints(clip, KINECT_V1))[7], without_frames(clip, 6, 12)]
    annotations = [dict(frame_dir='c', keypoint=keypoint, label=0) for keypoint in (clip, *changed)]
    whole, joint, frames = inferencer(annotations, unit='m')['predictions']
    label = whole.label
    assert result.answer.label == label
    drops = [whole.confidence - answer.scores['fused'][label] for answer in (joint, frames)]
    assert [result.joints[7], result.frames[8]] == pytest.approx(drops, abs=1e-5)


def test_recordings_are_read_with_the_options_of_a_prediction():
    inferencer, clip = SkeletonInferencer(device='cpu'), make_clip() / 4
    expected = occlude(inferencer, clip, span=30)
    found = occlude(inferencer, 1000 * clip, unit='mm', span=30)
    np.testing.assert_allclose(found.joints, expected.joints, atol=1e-4)


def test_a_joint_that_is_taken_away_only_follows_its_parent():
    clip = make_clip(persons=2)
    clip[1] = 0
    for joint, changed in enumerate(without_joints(clip, KINECT_V1)):
        parent = KINECT_V1.parents[joint]
        offset = changed[0, :, joint] - (changed[0, :, parent] if parent != joint else 0)
        assert np.ptp(offset, axis=0) == pytest.approx(0, abs=1e-5)
        others = np.arange(20) != joint
        assert (changed[:, :, others] == clip[:, :, others]).all()
        assert not changed[1].any()


@pytest.mark.fault('occlusion of a joint in an image, whose third number is a confidence', '-', 'it stays')
def test_confidences_stay():
    clip = np.random.default_rng(0).random((1, 9, 18, 3)) + 0.1
    for joint, changed in enumerate(without_joints(clip, get_skeleton('openpose'))):
        assert (changed[..., 2] == clip[..., 2]).all()
        assert not np.isclose(changed[:, 1:, joint, :2], clip[:, 1:, joint, :2]).all()


@pytest.mark.parametrize(('start', 'end'), [(0, 6), (6, 12), (20, 26), (0, 24)])
def test_frames_that_are_taken_away_lie_on_a_line(start, end):
    clip = make_clip()
    changed = without_frames(clip, start, end)
    outside = np.r_[0:start, min(end, 24) : 24]
    assert (changed[:, outside] == clip[:, outside]).all()
    if len(outside):
        assert np.diff(changed[:, start : min(end, 24)], n=2, axis=1) == pytest.approx(0, abs=1e-5)

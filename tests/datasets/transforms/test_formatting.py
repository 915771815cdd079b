import copy

import numpy as np
import pytest
from mmaction.datasets.transforms import FormatGCNInput

from mmdualhead.datasets import FormatSkeletonInput, SkeletonStream
from mmdualhead.datasets.transforms.formatting import most_active
from tests.datasets.clips import make_clip


@pytest.mark.parametrize('persons', [0, 1, 2])
@pytest.mark.parametrize('samples', [1, 5])
@pytest.mark.parametrize('scored', [False, True])
def test_equals_mmaction(persons, samples, scored):
    clip = make_clip(persons, 30, num_clips=samples)
    if scored:
        clip['keypoint_score'] = np.random.default_rng(0).random((persons, 30, 25), np.float32)
    theirs = FormatGCNInput(num_person=2).transform(copy.deepcopy(clip))['keypoint']
    ours = FormatSkeletonInput(num_person=2).transform(copy.deepcopy(clip))['keypoint']
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous


def test_keeps_the_most_active_in_their_order():
    keypoint = np.zeros((4, 10, 25, 3), np.float32)
    steps = np.array([0.1, 0.3, 0.0, 0.2])
    keypoint[...] = 1 + (np.arange(10) * steps[:, None])[..., None, None]
    assert most_active(keypoint, 2).tolist() == [1, 3]
    assert most_active(keypoint, 3).tolist() == [0, 1, 3]
    kept = FormatSkeletonInput(2).transform(dict(keypoint=keypoint))['keypoint']
    np.testing.assert_array_equal(kept[0], keypoint[[1, 3]])


def test_appearing_and_vanishing_is_no_activity():
    keypoint = np.zeros((2, 10, 25, 3), np.float32)
    keypoint[0, ::2] = 5  # flickers, far from the origin
    keypoint[1] = 1 + np.arange(10)[:, None, None] / 1000
    assert most_active(keypoint, 1).tolist() == [1]


def test_a_joint_that_comes_and_goes_is_no_activity():
    keypoint = np.ones((2, 10, 25, 3), np.float32)
    keypoint[0, ::2, 7] = 0
    keypoint[1] += np.arange(10)[:, None, None] / 1000
    assert most_active(keypoint, 1).tolist() == [1]


def test_somebody_still_goes_before_nobody():
    keypoint = np.zeros((2, 10, 25, 3), np.float32)
    keypoint[1] = 1
    assert most_active(keypoint, 1).tolist() == [1]


def test_all_streams_keep_the_same_persons():
    clip = make_clip(4, 20, seed=3)
    clip['keypoint'][1] = clip['keypoint'][1, :1] + np.linspace(0, 3, 20)[:, None, None]
    clip['keypoint'][3] += np.random.default_rng(0).normal(0, 1, (20, 25, 3))
    expected = most_active(clip['keypoint'], 2)
    for stream in ('j', 'b', 'jm', 'bm'):
        formed = SkeletonStream(stream=stream).transform(dict(clip))
        whole = formed['keypoint']
        kept = FormatSkeletonInput(2).transform(formed)['keypoint'][0]
        np.testing.assert_array_equal(kept, whole[expected].astype(np.float32))


def test_samples_that_do_not_divide():
    with pytest.raises(ValueError, match=r"'S000'.*30 frames.*7 samples"):
        FormatSkeletonInput().transform(make_clip(1, 30, num_clips=7))


def test_no_person_is_refused():
    with pytest.raises(ValueError, match=r'^FormatSkeletonInput: expected num_person of at least 1, found 0'):
        FormatSkeletonInput(0)


@pytest.mark.fault(
    'confidences that waver, of a person who does not move', 'the first persons are kept', 'no movement'
)
@pytest.mark.parametrize('apart', [False, True])
@pytest.mark.parametrize('forming', [[], [SkeletonStream('openpose', stream='j')]])
def test_confidences_are_no_movement(apart, forming):
    rng = np.random.default_rng(0)
    joints, score = np.ones((3, 20, 18, 2)), rng.random((3, 20, 18))
    score[:2] = 0.5
    joints[:2] += 0.01 * np.arange(20)[:, None, None]
    clip = dict(keypoint=joints, keypoint_score=score)
    if not apart and forming:
        clip = dict(keypoint=np.concatenate([joints, score[..., None]], -1))
    for step in [*forming, FormatSkeletonInput(2)]:
        clip = step.transform(clip)
    np.testing.assert_array_equal(clip['keypoint'][0, ..., 0], joints[:2, ..., 0].astype(np.float32))

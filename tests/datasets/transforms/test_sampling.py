import copy

import numpy as np
import pytest
from mmaction.datasets.transforms import PadTo, PoseDecode, UniformSampleFrames

from mmdualhead.datasets import ReplayPad, SortedSampleFrames, UniformSampleClips
from mmdualhead.datasets.transforms.sampling import fixed_indices
from tests.datasets.clips import make_clip


@pytest.mark.parametrize('frames', [1, 3, 19, 20, 21, 39, 40, 41, 100, 333])
@pytest.mark.parametrize('num_clips', [1, 10])
@pytest.mark.parametrize('test_mode', [False, True])
def test_equals_mmaction_for_the_same_random_state(frames, num_clips, test_mode):
    clip = make_clip(2, frames)
    clip['keypoint_score'] = np.random.default_rng(0).random((2, frames, 25))
    args = dict(clip_len=20, num_clips=num_clips, test_mode=test_mode)
    np.random.seed(7)
    theirs = PoseDecode().transform(UniformSampleFrames(**args).transform(copy.deepcopy(clip)))
    after = np.random.rand()
    np.random.seed(7)
    ours = UniformSampleClips(**args).transform(copy.deepcopy(clip))
    for key in ('keypoint', 'keypoint_score', 'frame_inds'):
        np.testing.assert_array_equal(ours[key], theirs[key])
        assert ours[key].dtype == theirs[key].dtype
    assert (ours['clip_len'], ours['num_clips']) == (theirs['clip_len'], theirs['num_clips'])
    if not test_mode:
        assert np.random.rand() == after


def test_test_mode_leaves_the_global_generator_alone():
    np.random.seed(7)
    expected = np.random.rand()
    np.random.seed(7)
    UniformSampleClips(20, test_mode=True).transform(make_clip(1, 50))
    assert np.random.rand() == expected


def test_samples_advance_and_cover_the_clip():
    np.random.seed(0)
    for frames in (20, 33, 64, 200):
        inds = UniformSampleClips(20).transform(make_clip(1, frames))['frame_inds']
        assert (np.diff(inds) > 0).all()
        assert inds[0] <= frames // 20 + 1
        assert inds[-1] >= frames - frames // 20 - 2


@pytest.mark.parametrize('frames', [1, 7, 30])
def test_replay_equals_pad_to(frames):
    clip = make_clip(2, frames)
    theirs = PadTo(30, mode='loop').transform(dict(clip))
    ours = ReplayPad(30).transform(dict(clip))
    np.testing.assert_array_equal(ours['keypoint'], theirs['keypoint'])
    assert ours['total_frames'] == theirs['total_frames'] == 30


def test_replay_cuts_and_takes_scores_along():
    clip = make_clip(1, 30)
    clip['keypoint_score'] = np.arange(30.0)[None, :, None].repeat(25, 2)
    cut = ReplayPad(10).transform(dict(clip))
    np.testing.assert_array_equal(cut['keypoint'], clip['keypoint'][:, :10])
    replayed = ReplayPad(65).transform(dict(clip))
    np.testing.assert_array_equal(replayed['keypoint_score'][0, :, 0], np.arange(65) % 30)


@pytest.mark.parametrize('step', [UniformSampleClips(20), ReplayPad(20), SortedSampleFrames(20)])
def test_no_frames_names_the_clip(step):
    with pytest.raises(ValueError, match=r"'S004'.*no frames"):
        step.transform(make_clip(1, 0, seed=4))


@pytest.mark.parametrize('counts', [dict(clip_len=0), dict(clip_len=-1), dict(clip_len=9, num_clips=0)])
def test_samples_of_nothing_are_refused(counts):
    with pytest.raises(
        ValueError, match=r'^UniformSampleClips: expected (clip_len|num_clips) of at least 1, found'
    ):
        UniformSampleClips(**counts)
    with pytest.raises(ValueError, match=r'^ReplayPad: expected length of at least 1, found 1\.5'):
        ReplayPad(1.5)


def test_samples_are_random_by_default_and_fixed_in_tests():
    clip, np_state = make_clip(1, 300), np.random.get_state()
    samples = [UniformSampleClips(20).transform(dict(clip))['frame_inds'].tolist() for _ in range(2)]
    assert samples[0] != samples[1]
    np.random.set_state(np_state)
    fixed = [UniformSampleClips(20, test_mode=True).transform(dict(clip))['frame_inds'] for _ in range(2)]
    np.testing.assert_array_equal(*fixed)
    assert np.random.get_state()[2] == np_state[2]
    with pytest.raises(ValueError, match='read-only'):
        fixed_indices(300, 20, 1, 255)[0] = 7


@pytest.mark.parametrize('frames', [1, 7, 52, 300])
def test_sorted_samples_are_random_in_training_and_equally_spaced_in_tests(frames):
    clip = make_clip(1, frames)
    clip['keypoint_score'] = np.arange(float(frames))[None, :, None].repeat(25, 2)
    for test_mode in (False, True):
        drawn = [SortedSampleFrames(52, test_mode).transform(dict(clip)) for _ in range(2)]
        indices = drawn[0]['frame_inds']
        assert (np.diff(indices) >= 0).all()
        np.testing.assert_array_equal(drawn[0]['keypoint'], clip['keypoint'][:, indices])
        np.testing.assert_array_equal(drawn[0]['keypoint_score'][0, :, 0], indices)
        assert drawn[0]['total_frames'] == 52
        assert np.array_equal(indices, drawn[1]['frame_inds']) == (test_mode or frames == 1)
    assert (indices[0], indices[-1]) == (0, frames - 1)
    assert np.ptp(np.diff(indices)) <= 1

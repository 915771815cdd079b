"""Choose the frames of a clip that the network sees: uniform samples, a fixed length filled by repetition, or
random frames in order.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error, take
from mmdualhead.network_input import Share

TEST_SEED = 255  # MMAction2's


def uniform_indices(num_frames: int, clip_len: int, num_clips: int, rng: Any) -> np.ndarray:
    """One random frame out of each of ``clip_len`` equal segments of a clip, ``num_clips`` times.

    A clip shorter than ``clip_len`` is repeated, starting at a random frame.

    Returns:
        (num_clips * clip_len,) frame indices.
    """
    return np.concatenate([_one_sample(num_frames, clip_len, rng) for _ in range(num_clips)]) % num_frames


def _one_sample(num_frames: int, clip_len: int, rng: np.random.RandomState) -> np.ndarray:
    if num_frames < clip_len:
        start = rng.randint(0, num_frames)
        return np.arange(start, start + clip_len)
    if num_frames < 2 * clip_len:
        return _skip_some(num_frames, clip_len, rng)
    bounds = np.arange(clip_len + 1) * num_frames // clip_len
    return bounds[:-1] + rng.randint(np.diff(bounds))


def _skip_some(num_frames: int, clip_len: int, rng: np.random.RandomState) -> np.ndarray:
    """All frames in order except ``num_frames - clip_len``, which are skipped at random."""
    skipped = np.zeros(clip_len + 1, dtype=np.int64)
    skipped[rng.choice(clip_len + 1, num_frames - clip_len, replace=False)] = 1
    return np.arange(clip_len) + np.cumsum(skipped)[:-1]


@lru_cache(maxsize=256)
def fixed_indices(num_frames: int, clip_len: int, num_clips: int, seed: int) -> np.ndarray:
    """The samples used in tests: those of :func:`uniform_indices` for one seed, the same in every run.

    Of a clip shorter than ``clip_len`` the samples start at evenly spaced frames.

    Returns:
        (num_clips * clip_len,) frame indices, read-only.
    """
    if num_frames < clip_len:
        sample = np.arange(num_clips)
        starts = sample if num_frames < num_clips else sample * num_frames // num_clips
        indices = (starts[:, None] + np.arange(clip_len)).ravel() % num_frames
    else:
        indices = uniform_indices(num_frames, clip_len, num_clips, np.random.RandomState(seed))
    indices.flags.writeable = False
    return indices


@TRANSFORMS.register_module()
class UniformSampleClips(Step):
    """Sample frames uniformly.

    MMAction2's ``UniformSampleFrames`` followed by ``PoseDecode`` in one step, with the same frames for the
    same state of numpy's global generator, which is not used in test mode.

    Required keys: keypoint, (keypoint_score). Modified: keypoint (M, num_clips * clip_len, V, C) float32,
    keypoint_score. Added: frame_inds, clip_len, num_clips, frame_interval.

    Args:
        clip_len: frames of a sample.
        num_clips: samples of a clip.
        test_mode: take the same samples in every run.
        seed: the seed of these samples.
    """

    @staticmethod
    def network_input(
        clip_len: int,
        num_clips: int = 1,
        test_mode: bool = False,  # noqa: ARG004
        seed: int = TEST_SEED,
    ) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(sampling=dict(clip_len=clip_len, num_clips=num_clips, seed=seed), frames='frame_inds')

    def __init__(
        self, clip_len: int, num_clips: int = 1, test_mode: bool = False, seed: int = TEST_SEED
    ) -> None:
        self.clip_len = clip_len
        self.num_clips = num_clips
        self.test_mode = test_mode
        self.seed = seed
        self.require_counts(clip_len=clip_len, num_clips=num_clips)

    def transform(self, results: dict) -> dict:
        num_frames = _num_frames(results)
        if self.test_mode:
            indices = fixed_indices(num_frames, self.clip_len, self.num_clips, self.seed)
        else:
            indices = uniform_indices(num_frames, self.clip_len, self.num_clips, np.random)
        take(results, indices, axis=1, dtype=np.float32)
        results['frame_inds'] = indices.astype(np.int32)
        results['clip_len'] = self.clip_len
        results['num_clips'] = self.num_clips
        results['frame_interval'] = None
        return results


@TRANSFORMS.register_module()
class ReplayPad(Step):
    """Bring a clip to a fixed length: repeat it from the start, or cut it.

    ``x'_t = x_(t mod T)``; the paper does this before bones and motion are formed. MMAction2's ``PadTo`` with
    ``mode='loop'``, which rejects longer clips.

    Required keys: keypoint, (keypoint_score). Modified: keypoint, keypoint_score, total_frames.

    Args:
        length: frames of the result.
    """

    @staticmethod
    def network_input(length: int) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(sampling=dict(length=length), frames='length')

    def __init__(self, length: int) -> None:
        self.length = length
        self.require_counts(length=length)

    def transform(self, results: dict) -> dict:
        indices = np.arange(self.length) % _num_frames(results)
        take(results, indices, axis=1)
        results['total_frames'] = self.length
        return results


@TRANSFORMS.register_module()
class SortedSampleFrames(Step):
    """Draw frames at random with replacement and sort them, as papers on NW-UCLA do; in tests, equally spaced
    ones, from the first to the last.

    Required keys: keypoint, (keypoint_score). Modified: keypoint, keypoint_score, total_frames. Added:
    frame_inds.

    Args:
        length: frames of the result.
        test_mode: take equally spaced frames.
    """

    @staticmethod
    def network_input(length: int, test_mode: bool = False) -> Share:  # noqa: ARG004
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(other_steps=(SortedSampleFrames.__name__,), frames='frame_inds')

    def __init__(self, length: int, test_mode: bool = False) -> None:
        self.length = length
        self.test_mode = test_mode
        self.require_counts(length=length)

    def transform(self, results: dict) -> dict:
        num_frames = _num_frames(results)
        if self.test_mode:
            indices = np.linspace(0, num_frames - 1, self.length).astype(np.int64)
        else:
            indices = np.sort(np.random.randint(num_frames, size=self.length))
        take(results, indices, axis=1)
        results['total_frames'] = self.length
        results['frame_inds'] = indices.astype(np.int32)
        return results


def _num_frames(results: dict) -> int:
    num_frames = results['keypoint'].shape[1]
    if not num_frames:
        raise clip_error(results, 'keypoint has no frames')
    return num_frames

"""Augmentations that preserve the action. None is used in the paper's protocol.

Use them between normalization and ``SkeletonStream``: after normalization, the origin is the body's center
and x its left-right axis; before ``SkeletonStream``, ``keypoint`` contains joints. Missing joints (zero) stay
zero. Randomness comes from numpy's global generator, which MMEngine seeds in every worker.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.plausibility import PIXELS
from mmdualhead.datasets.transforms.normalize import rotation_about
from mmdualhead.datasets.transforms.step import Step, clip_error, take
from mmdualhead.errors import UserError
from mmdualhead.network_input import Share
from mmdualhead.skeletons import Skeleton, get_skeleton

AXES = np.eye(3)


class _LinearMap(Step):
    """``x' = A x`` for every joint, with one random A per clip.

    Args:
        amount: the largest deviation of A from the identity, along or about each axis; one number applies to
            all.

    Raises:
        ValueError: an amount is negative; or, at use, the number of coordinates is not that of amounts.
    """

    def __init__(self, amount: float | Sequence[float]) -> None:
        self.amount = np.asarray(amount, np.float64)
        self.require((self.amount >= 0).all(), 'amounts of at least 0', amount)

    def matrix(self, size: int) -> np.ndarray:
        """A random (C, C) matrix."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        size = keypoint.shape[-1]
        if self.amount.ndim and len(self.amount) != size:
            fault = f'{type(self).__name__} has {len(self.amount)} amounts for {size} coordinates'
            raise clip_error(results, fault)
        results['keypoint'] = keypoint @ self.matrix(size).T.astype(keypoint.dtype)
        return results

    def _draw(self, shape: int | tuple[int, ...]) -> np.ndarray:
        return np.random.uniform(-1, 1, shape) * self.amount


@TRANSFORMS.register_module()
class RandomRotate3D(_LinearMap):
    """Rotate the clip: ``A = R_z R_y R_x``, each by an angle drawn from U(-a, a). Bones keep their lengths.

    Args:
        amount: a in radians, for all or each of x, y, z.
    """

    def __init__(self, amount: float | Sequence[float] = 0.3) -> None:
        super().__init__(amount)

    def matrix(self, size: int) -> np.ndarray:
        """See :class:`RandomRotate3D`.

        Raises:
            UserError: joints do not have three coordinates.
        """
        if size != 3:
            raise UserError(f'RandomRotate3D needs 3 coordinates, found {size}')
        x, y, z = (rotation_about(axis, angle) for axis, angle in zip(AXES, self._draw(3), strict=True))
        return z @ y @ x


@TRANSFORMS.register_module()
class RandomScale(_LinearMap):
    """Scale the clip: A is diagonal, each factor from U(1 - s, 1 + s).

    Args:
        amount: s, for all or each of the axes.
    """

    def __init__(self, amount: float | Sequence[float] = 0.2) -> None:
        super().__init__(amount)

    def matrix(self, size: int) -> np.ndarray:
        """See :class:`RandomScale`."""
        return np.diag(1 + self._draw(size))


@TRANSFORMS.register_module()
class RandomShear(_LinearMap):
    """Shear the clip: A has ones on its diagonal and values from U(-s, s) elsewhere.

    Args:
        amount: s, for all or each of the axes that the others are added to.
    """

    def __init__(self, amount: float | Sequence[float] = 0.2) -> None:
        super().__init__(amount)

    def matrix(self, size: int) -> np.ndarray:
        """See :class:`RandomShear`."""
        drawn = self._draw((size, size)).T
        np.fill_diagonal(drawn, 1)
        return drawn


@TRANSFORMS.register_module()
class RandomBoneLengths(Step):
    """Change the proportions of the body: each bone is scaled by a factor from U(1 - s, 1 + s), one per clip.

    Left and right bones are scaled alike. It also accounts for sensors that see joints at other places.

    Args:
        layout: name or definition of the skeleton, whose bones are scaled from the root outwards.
        amount: s.
    """

    @staticmethod
    def network_input(layout: Any = 'nturgb+d', amount: float = 0.1) -> Share:  # noqa: ARG004
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(skeleton=get_skeleton(layout), other_steps=(RandomBoneLengths.__name__,))

    def __init__(self, layout: str | Mapping[str, Any] = 'nturgb+d', amount: float = 0.1) -> None:
        self.skeleton = get_skeleton(layout)
        self.amount = amount
        self.require(0 <= amount < 1, 'an amount of 0 to 1', amount)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        joints = np.arange(self.skeleton.num_joints)
        factors = 1 + self.amount * np.random.uniform(-1, 1, len(joints))
        factors = factors[np.minimum(joints, self.skeleton.mirror)]
        results['keypoint'] = scale_bones(keypoint, self.skeleton, factors.astype(keypoint.dtype))
        return results


def scale_bones(keypoint: np.ndarray, skeleton: Skeleton, factors: np.ndarray) -> np.ndarray:
    """A clip with the bone of each joint scaled by a factor; the root stays.

    Where a joint is missing (zero), the bones that begin at it begin at the next joint towards the root.

    Args:
        keypoint: (M, T, V, C).
        skeleton: the layout.
        factors: (V,).
    """
    present = np.asarray(keypoint.any(-1, keepdims=True))
    # Of each joint or, where it is missing, of the next one towards the root: its place before and after.
    before, after, known = keypoint.copy(), keypoint.copy(), present.copy()
    for joint in skeleton.outwards:
        parent, here = skeleton.parents[joint], keypoint[:, :, joint]
        start, moved, has_start = before[:, :, parent], after[:, :, parent], known[:, :, parent]
        end = np.where(has_start, moved + factors[joint] * (here - start), here)
        before[:, :, joint] = np.where(present[:, :, joint], here, start)
        after[:, :, joint] = np.where(present[:, :, joint], end, moved)
        known[:, :, joint] |= has_start
    return after * present


@TRANSFORMS.register_module()
class JointDropout(Step):
    """Drop joints: each becomes zero in all frames of all persons with probability p; at least one is kept.

    Args:
        prob: p.
    """

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = prob
        self.require(0 <= prob <= 1, 'a probability', prob)

    def transform(self, results: dict) -> dict:
        joints = results['keypoint'].shape[2]
        kept = np.random.rand(joints) >= self.prob
        kept[np.random.randint(joints)] = True
        results['keypoint'] = results['keypoint'] * kept[:, None]
        if 'keypoint_score' in results:
            results['keypoint_score'] = results['keypoint_score'] * kept
        return results


@TRANSFORMS.register_module()
class JointJitter(Step):
    """Add sensor noise: ``x' = x + N(0, σ²)`` for every coordinate of every joint that is not missing.

    Args:
        sigma: σ, in the units of the coordinates.
    """

    def __init__(self, sigma: float = 0.01) -> None:
        self.sigma = sigma
        self.require(sigma >= 0, 'sigma of at least 0', sigma)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        noise = np.random.normal(0, self.sigma, keypoint.shape).astype(keypoint.dtype)
        results['keypoint'] = keypoint + noise * keypoint.any(-1, keepdims=True)
        return results


@TRANSFORMS.register_module()
class MirrorSkeleton(Step):
    """Mirror the clip: left and right joints are swapped, and x changes its sign.

    The origin has to be in the middle of the person or the image, so joints in pixels are normalized before.

    Args:
        layout: name or definition of the skeleton, whose ``pairs`` define left and right.
        prob: the probability.

    Raises:
        ValueError: the layout has no pairs.
    """

    @staticmethod
    def network_input(layout: Any = 'nturgb+d', prob: float = 0.5) -> Share:  # noqa: ARG004
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(skeleton=get_skeleton(layout), other_steps=(MirrorSkeleton.__name__,))

    def __init__(self, layout: str | Mapping[str, Any] = 'nturgb+d', prob: float = 0.5) -> None:
        self.skeleton = get_skeleton(layout)
        self.prob = prob
        self.require(0 <= prob <= 1, 'a probability', prob)
        self.require(self.skeleton.pairs, 'a layout with left-right pairs', self.skeleton.name)

    def transform(self, results: dict) -> dict:
        if self.skeleton.flat and results['keypoint'][..., 0].max(initial=0) > PIXELS:
            raise clip_error(
                results, 'MirrorSkeleton takes joints around 0, found pixels; normalize them before'
            )
        if np.random.rand() >= self.prob:
            return results
        take(results, self.skeleton.mirror, axis=2)
        results['keypoint'][..., 0] *= -1
        return results


@TRANSFORMS.register_module()
class TemporalCropResize(Step):
    """Play a random part of a clip slower: a crop of ``r T`` frames, r from U(low, high), interpolated.

    Between a frame with a joint and one without, the nearer one is used.
    A ratio of (1, 1) only brings the clip to ``length``, as a test does.

    Required keys: keypoint, (keypoint_score). Modified: keypoint, keypoint_score, total_frames. Added:
    frame_inds, the nearest frame of the clip to each of the result.

    Args:
        ratio: (low, high), within 0..1.
        length: frames of the result; None keeps T.
    """

    network_input: ClassVar[Share] = dict(other_steps=('TemporalCropResize',), frames='frame_inds')

    def __init__(self, ratio: tuple[float, float] = (0.5, 1.0), length: int | None = None) -> None:
        self.ratio = ratio
        self.length = length
        self.require(0 < ratio[0] <= ratio[1] <= 1, 'a ratio with 0 < low <= high <= 1', ratio)
        self.require_counts(length=1 if length is None else length)

    def transform(self, results: dict) -> dict:
        frames = results['keypoint'].shape[1]
        size = max(1, round(frames * np.random.uniform(*self.ratio)))
        start = np.random.randint(frames - size + 1)
        times = np.linspace(start, start + size - 1, self.length or frames)
        results['keypoint'] = interpolate(results['keypoint'], times)
        if 'keypoint_score' in results:
            results['keypoint_score'] = interpolate(results['keypoint_score'][..., None], times)[..., 0]
        results['total_frames'] = len(times)
        results['frame_inds'] = np.rint(times).astype(np.int32)
        return results


def interpolate(keypoint: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A clip at points in time between its frames, linearly; a joint missing in a frame is not blended.

    Args:
        keypoint: (M, T, V, C).
        times: (T',) within 0..T-1.

    Returns:
        (M, T', V, C) in the type of ``keypoint``.
    """
    before = np.floor(times).astype(np.int64)
    after = np.ceil(times).astype(np.int64)
    weight = (times - before).astype(keypoint.dtype)[:, None, None]
    blend = keypoint[:, before] * (1 - weight) + keypoint[:, after] * weight
    present = np.asarray(keypoint.any(-1))
    whole = (present[:, before] & present[:, after])[..., None]
    return np.where(whole, blend, keypoint[:, np.rint(times).astype(np.int64)])

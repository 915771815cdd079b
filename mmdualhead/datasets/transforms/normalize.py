"""Normalization of 3-D skeletons: centered on the spine, upright, shoulders along x.

M persons, T frames, V joints, C = 3 coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error
from mmdualhead.network_input import Share
from mmdualhead.skeletons import Skeleton, get_skeleton

X_AXIS = np.array([1.0, 0.0, 0.0])
Z_AXIS = np.array([0.0, 0.0, 1.0])
PRESENT = 1e-8  # a frame holds a person once a coordinate exceeds this
TINY = 1e-6  # lengths and angles below this have no direction


class NormalizedClip(NamedTuple):
    """What :func:`normalize_clip` returns.

    Attributes:
        keypoint: normalized joints (M, T', V, 3), main person first.
        persons: (M,) which person of the input stands where.
        frames: (T',) which frames of the input were kept.
        center: (3,) the point that became the origin; None where nobody is present.
    """

    keypoint: np.ndarray
    persons: np.ndarray
    frames: np.ndarray
    center: np.ndarray | None


def normalize_clip(keypoint: np.ndarray, skeleton: Skeleton) -> NormalizedClip:
    """Move, turn and tidy a clip.

    ``x' = R_x R_z (x - c)``: c is the layout's center joint of the main person in its first frame, R_z turns
    ``skeleton.up`` of that frame onto the z axis, R_x ``skeleton.across`` onto the x axis, left to right.
    The main person is the one seen in most frames. Missing joints (all zero or NaN) stay at or become zero,
    frames without anybody are dropped. A layout without ``up`` or ``across`` skips that turn.

    Equal bit for bit to MMAction2's ``PreNormalize3D`` where that is defined and keeps every frame that holds
    somebody: 25 joints, one or two persons, no NaN, main person in every frame that holds the other.

    Args:
        keypoint: joints (M, T, V, 3); left unchanged.
        skeleton: the layout, which gives center and axes.

    Returns:
        The normalized clip and how it came about; a clip without anybody comes back as it was, NaN as zero.

    Raises:
        ValueError: ``keypoint`` is not (M, T, V, 3) with the layout's V.
    """
    if keypoint.ndim != 4 or keypoint.shape[2:] != (skeleton.num_joints, 3):
        raise ValueError(
            f'keypoint has shape {keypoint.shape}; normalizing layout {skeleton.name!r} needs '
            f'(M, T, {skeleton.num_joints}, 3)'
        )
    finite, keypoint = _zero_nan(keypoint)
    present = (np.abs(keypoint) > PRESENT).any((2, 3))
    persons, frames = np.arange(len(keypoint)), np.arange(keypoint.shape[1])
    if not present.any():
        return NormalizedClip(keypoint, persons, frames, None)

    main = int(present.sum(1).argmax())
    persons = np.array([main, *(person for person in persons if person != main)])
    frames = np.flatnonzero(present.any(0))
    first = _reference_frame(present[main, frames], finite[main, frames], skeleton)
    if main:
        keypoint = keypoint[persons]
    if len(frames) < keypoint.shape[1]:
        keypoint = keypoint[:, frames]

    center = keypoint[0, first, skeleton.center].copy()
    keypoint = _move(keypoint, center)
    if skeleton.up:
        tail, head = skeleton.up
        upwards = keypoint[0, first, head] - keypoint[0, first, tail]
        keypoint = _rotate(keypoint, rotation_onto(upwards, Z_AXIS, X_AXIS))
    if skeleton.across:
        right, left = skeleton.across
        sideways = keypoint[0, first, right] - keypoint[0, first, left]
        keypoint = _rotate(keypoint, rotation_onto(sideways, X_AXIS, Z_AXIS))
    return NormalizedClip(keypoint, persons, frames, center)


def rotation_onto(vector: np.ndarray, axis: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """The rotation that turns ``vector`` onto ``axis`` by the shortest way, a (3, 3) matrix.

    Args:
        vector: (3,); one that is too short to have a direction gives the identity.
        axis: (3,) unit vector.
        spare: (3,) unit vector perpendicular to ``axis``, the axis for a half turn.
    """
    if np.abs(vector).sum() < TINY:
        return np.eye(3)
    unit = vector / np.linalg.norm(vector)
    angle = np.arccos(np.clip(np.dot(unit, axis), -1.0, 1.0))
    if angle < TINY:
        return np.eye(3)
    normal = _cross(vector, axis)
    if np.abs(normal).sum() < TINY:
        normal = _cross(unit, axis)
    if np.abs(normal).sum() < TINY:
        normal = spare
    return rotation_about(normal, angle)


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Counterclockwise rotation about an axis (Euler-Rodrigues formula), a (3, 3) matrix."""
    axis = axis / np.sqrt(np.dot(axis, axis))
    a = np.cos(angle / 2.0)
    b, c, d = -axis * np.sin(angle / 2.0)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)],
            [2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)],
            [2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The cross product; of single vectors, numpy's takes longer than turning a whole clip."""
    (a, b, c), (d, e, f) = one.tolist(), other.tolist()
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def _move(keypoint: np.ndarray, center: np.ndarray) -> np.ndarray:
    """``x - c`` for every joint that is not missing."""
    # numpy is slow along an axis of 3, so the joints of a frame are one row here.
    persons, frames, joints, _ = keypoint.shape
    rows = keypoint.reshape(persons, frames, -1)
    moved = (rows - np.tile(center, joints)).reshape(keypoint.shape)
    if rows.all():
        return moved
    x, y, z = np.moveaxis(keypoint != 0, -1, 0)
    return moved * (x | y | z)[..., None]


def _rotate(keypoint: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """``R @ x`` for every joint, in float64; einsum sums in the order that PreNormalize3D does."""
    flat = keypoint.astype(np.float64, copy=False).reshape(-1, 3)
    return np.einsum('nd,kd->nk', flat, rotation).reshape(keypoint.shape)


def _zero_nan(keypoint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which joints are finite (M, T, V), and the clip with the others as zero."""
    finite = np.isfinite(keypoint)
    if finite.all():
        return finite[..., 0], keypoint
    finite = finite.all(-1)
    return finite, np.where(finite[..., None], keypoint, 0)


def _reference_frame(present: np.ndarray, finite: np.ndarray, skeleton: Skeleton) -> int:
    """The main person's first frame in which no joint that center and axes need was NaN; else its first."""
    needed = [skeleton.center, *(skeleton.up or ()), *(skeleton.across or ())]
    usable = present & finite[:, needed].all(-1)
    return int((usable if usable.any() else present).argmax())


@TRANSFORMS.register_module()
class NormalizeSkeleton3D(Step):
    """:func:`normalize_clip` as a step of a pipeline.

    A clip that says ``normalized=True`` (from a file whose ``meta`` says so) passes unchanged.

    Required keys: keypoint, (keypoint_score), (frame_dir), (normalized). Modified: keypoint, keypoint_score,
    total_frames. Added: body_center, kept_frames.

    Args:
        layout: name or definition of the skeleton, see :func:`mmdualhead.skeletons.get_skeleton`.
    """

    @staticmethod
    def network_input(layout: Any = 'nturgb+d') -> Share:
        """Its share of a :class:`~mmdualhead.network_input.NetworkInput`."""
        skeleton = get_skeleton(layout)
        return dict(skeleton=skeleton, normalization='3d', dropped_frames='empty', frames='kept_frames')

    def __init__(self, layout: str | Mapping[str, Any] = 'nturgb+d') -> None:
        self.skeleton = get_skeleton(layout)

    def transform(self, results: dict) -> dict:
        if results.get('normalized'):
            return results
        try:
            clip = normalize_clip(results['keypoint'], self.skeleton)
        except ValueError as error:
            raise clip_error(results, str(error)) from None
        results['keypoint'] = clip.keypoint
        results['total_frames'] = clip.keypoint.shape[1]
        results['kept_frames'] = clip.frames
        if 'keypoint_score' in results:
            results['keypoint_score'] = results['keypoint_score'][clip.persons][:, clip.frames]
        if clip.center is not None:
            results['body_center'] = clip.center
        return results

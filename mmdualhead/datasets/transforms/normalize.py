"""Normalization of 3-D skeletons: centered on the spine, upright, shoulders along x; or stretched to -1..1.

M persons, T frames, V joints, C = 3 coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error
from mmdualhead.errors import UserError
from mmdualhead.network_input import Share
from mmdualhead.skeletons import Skeleton, get_skeleton

X_AXIS = np.array([1.0, 0.0, 0.0])
Z_AXIS = np.array([0.0, 0.0, 1.0])
PRESENT = 1e-8  # a frame contains a person if a coordinate exceeds this
TINY = 1e-6  # lengths and angles below this have no direction
AWAY = 1.0  # how far joints relative to the hip are moved, since zero means missing
FIT = 1.5  # a bone of a center at zero is at most this many times longer or shorter than usual


class Turn(NamedTuple):
    """One rotation of a normalization.

    Attributes:
        start: the joint at the start of the direction.
        end: the joint at its end.
        axis: the axis that it is rotated onto.
        spare: the axis of a rotation by 180 degrees.
    """

    start: int
    end: int
    axis: np.ndarray
    spare: np.ndarray


class NormalizedClip(NamedTuple):
    """The result of :func:`normalize_clip`.

    Attributes:
        keypoint: normalized joints (M, T', V, 3), main person first.
        persons: (M,) the index of each person in the input.
        frames: (T',) the kept frames of the input.
        center: (3,) the point that became the origin; None if no person is present.
    """

    keypoint: np.ndarray
    persons: np.ndarray
    frames: np.ndarray
    center: np.ndarray | None


def normalize_clip(keypoint: np.ndarray, skeleton: Skeleton) -> NormalizedClip:
    """Center, rotate and clean up a clip.

    ``x' = R_x R_z (x - c)``: c is the layout's center joint of the main person in its first frame, R_z
    rotates ``skeleton.up`` of that frame onto the z axis, R_x ``skeleton.across`` onto the x axis, left to
    right. The main person is the one seen in most frames. Missing joints (all zero or NaN) stay at or become
    zero, frames without a person are dropped. A layout without ``up`` or ``across`` skips that rotation.

    If a joint that the center or a rotation needs is missing, the reference is the first frame with most of
    them, the center having priority; rotations that need a joint missing there are skipped. A center that is
    zero because the clip is centered already is distinguished from a missing one by the lengths of its bones,
    and so is a hip that is zero in all frames because the joints are relative to it.

    Equal bit for bit to MMAction2's ``PreNormalize3D`` where that is defined and keeps every frame with a
    person: 25 joints, one or two persons, the main person in every frame that contains the other, and no
    required joint missing in its first frame.

    Args:
        keypoint: joints (M, T, V, 3); left unchanged.
        skeleton: the layout, which defines center and axes.

    Returns:
        The normalized clip and how it was obtained; a clip without a person is returned unchanged, with NaN
        as zero.

    Raises:
        ValueError: ``keypoint`` is not (M, T, V, 3) with the layout's V, or its joints are in an image.
    """
    if skeleton.flat:
        raise UserError(
            f'layout {skeleton.name!r} is of joints in an image, which have no depth to normalize'
        )
    if keypoint.ndim != 4 or keypoint.shape[2:] != (skeleton.num_joints, 3):
        raise UserError(
            f'keypoint has shape {keypoint.shape}; normalizing layout {skeleton.name!r} needs '
            f'(M, T, {skeleton.num_joints}, 3)'
        )
    finite, keypoint = _zero_nan(keypoint)
    present = (np.abs(keypoint) > PRESENT).any((2, 3))
    persons, frames = np.arange(len(keypoint)), np.arange(keypoint.shape[1])
    if not present.any():
        return NormalizedClip(keypoint, persons, frames, None)

    offset = _offset(keypoint, present, finite, skeleton)
    keypoint = keypoint + offset if offset is not None else keypoint
    main = int(present.sum(1).argmax())
    persons = np.array([main, *(person for person in persons if person != main)])
    frames = np.flatnonzero(present.any(0))
    first, known = _reference(keypoint[main, frames], present[main, frames], finite[main, frames], skeleton)
    if main:
        keypoint = keypoint[persons]
    if len(frames) < keypoint.shape[1]:
        keypoint = keypoint[:, frames]

    center = keypoint[0, first, skeleton.center].copy()
    keypoint = _move(keypoint, center)
    for start, end, axis, spare in turns(skeleton):
        if {start, end} <= known:
            direction = keypoint[0, first, end] - keypoint[0, first, start]
            keypoint = _rotate(keypoint, rotation_onto(direction, axis, spare))
    return NormalizedClip(keypoint, persons, frames, center if offset is None else center - AWAY)


def turns(skeleton: Skeleton) -> list[Turn]:
    """The rotations for a layout: upright, then shoulders along x, as far as it defines them."""
    found = [Turn(*skeleton.up, Z_AXIS, X_AXIS)] if skeleton.up else []
    return found + ([Turn(*skeleton.across[::-1], X_AXIS, Z_AXIS)] if skeleton.across else [])


def reference_joints(skeleton: Skeleton) -> list[int]:
    """The joints that a normalization needs of its reference frame, the center first."""
    ends = [joint for turn in turns(skeleton) for joint in (turn.start, turn.end)]
    return list(dict.fromkeys([cast(int, skeleton.center), *ends]))  # by default the root


def rotation_onto(vector: np.ndarray, axis: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """The shortest rotation of ``vector`` onto ``axis``, a (3, 3) matrix.

    Args:
        vector: (3,); one that is too short to have a direction gives the identity.
        axis: (3,) unit vector.
        spare: (3,) unit vector perpendicular to ``axis``, the axis of a rotation by 180 degrees.
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
    """The cross product; for single vectors, NumPy's takes longer than rotating a clip."""
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
    """The mask of finite joints (M, T, V), and the clip with the others as zero."""
    finite = np.isfinite(keypoint)
    if finite.all():
        return finite[..., 0], keypoint
    finite = finite.all(-1)
    return finite, np.where(finite[..., None], keypoint, 0)


def _reference(
    person: np.ndarray, present: np.ndarray, finite: np.ndarray, skeleton: Skeleton
) -> tuple[int, set[int]]:
    """The reference frame of center and rotations, and the needed joints that are present in it.

    Args:
        person: the main person (T, V, 3), NaN as zero.
        present: (T,) the frames that contain it.
        finite: (T, V) the joints that were not NaN.
        skeleton: the layout.
    """
    needed, first = reference_joints(skeleton), int(present.argmax())
    if person[first, needed].any(-1).all():  # nearly always
        return first, set(needed)
    available = np.asarray(person[:, needed].any(-1))
    available[:, 0] |= _at_origin(person, skeleton, needed[0]) & finite[:, skeleton.center]
    found = available.sum(1) + len(needed) * available[:, 0]
    first = int(np.where(present, found, -1).argmax())
    return first, {joint for joint, is_there in zip(needed, available[first], strict=True) if is_there}


def _offset(
    keypoint: np.ndarray, present: np.ndarray, finite: np.ndarray, skeleton: Skeleton
) -> np.ndarray | None:
    """(M, T, V, 1) how far to move joints relative to a hip that would be taken for missing; None if none."""
    if not skeleton.up or skeleton.up[0] == skeleton.center:
        return None
    hip = skeleton.up[0]
    if keypoint[:, :, hip].any():
        return None
    there = np.asarray(keypoint.any(-1))
    joints = keypoint[present]
    is_known = finite[present][:, hip].all() and there[present].any(0).sum() == skeleton.num_joints - 1
    if not (is_known and _at_origin(joints, skeleton, hip).all()):
        return None
    there[:, :, hip] = present
    return AWAY * there[..., None]


def _at_origin(person: np.ndarray, skeleton: Skeleton, joint: int) -> np.ndarray:
    """(T,) the frames of a person (T, V, 3) in which a joint at zero is plausible by its bones."""
    child, parent = np.array(skeleton.bones, int).reshape(-1, 2).T
    available = np.asarray(person.any(-1))
    both = available[:, child] & available[:, parent]
    lengths = np.linalg.norm(person[:, child] - person[:, parent], axis=-1)
    usual = (lengths * both).sum(0) / np.maximum(both.sum(0), 1)
    # Of a joint that is zero in all frames no length is known, but none is longer than all other bones.
    longest = np.where(usual > 0, usual, usual.max(initial=0) or np.inf)
    fits = (lengths <= FIT * longest) & (FIT * lengths >= usual)
    ends = available[:, child] | available[:, parent]
    own = (child == joint) | (parent == joint)
    return np.asarray((own & ends).any(1) & (fits | ~(own & ends)).all(1))


@TRANSFORMS.register_module()
class NormalizeSkeleton3D(Step):
    """:func:`normalize_clip` as a step of a pipeline.

    A clip with ``normalized=True`` (set by its file's ``meta``) is not changed.

    Required keys: keypoint, (keypoint_score), (frame_dir), (normalized). Modified: keypoint, keypoint_score,
    total_frames. Added: body_center, kept_frames.

    Args:
        layout: name or definition of the skeleton, see :func:`mmdualhead.skeletons.get_skeleton`.
    """

    @staticmethod
    def network_input(layout: Any = 'nturgb+d') -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
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


@TRANSFORMS.register_module()
class StretchSkeleton(Step):
    """Stretch every coordinate of a clip to -1..1, as papers on NW-UCLA do.

    ``x' = 2 (x - min) / (max - min) - 1`` with the extremes of all joints in all frames, so that place, size
    and proportions are removed; centering or scaling a clip before this step changes nothing. Missing joints
    (zero or NaN) are zero, as is a coordinate that is the same everywhere.

    Required keys: keypoint. Modified: keypoint.
    """

    network_input: ClassVar[Share] = dict(normalization='3d stretched')

    def transform(self, results: dict) -> dict:
        _, keypoint = _zero_nan(results['keypoint'])
        present = np.asarray(keypoint.any(-1))
        joints = keypoint[present]
        if not len(joints):
            return results
        low, high = joints.min(0), joints.max(0)
        middle, half = (low + high) / 2, (high - low) / 2
        stretched = (keypoint - middle) / np.where(half > 0, half, 1)
        results['keypoint'] = np.where(present[..., None], stretched, 0).astype(keypoint.dtype)
        return results

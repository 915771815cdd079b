"""Forward kinematics of a human body: joint angles to the 25 joint positions of the ``nturgb+d`` layout.

A body is a tree of segments (forearm, shank, ...), each ending at one joint. T frames, V = 25 joints.
Body coordinates are those of a Kinect that the person faces: x to the person's right, y up, z backwards;
meters. Angles are degrees (flexion, twist, abduction): rotations about x, about the segment's own y, and
about z, so that a positive flexion swings a hanging limb forward and a positive abduction lifts it outward
on either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mmdualhead.skeletons import NTU

Angles = tuple[float, float, float]
Pose = Mapping[str, Angles]


class BodySegment(NamedTuple):
    """One rigid part of the body.

    Args:
        joint: the joint at its end.
        parent: the joint at its start.
        offset: start to end, in meters, when the body stands upright with hanging arms.
    """

    joint: int
    parent: int
    offset: Angles


def _segments() -> dict[str, BodySegment]:
    """The body by names such as ``'right forearm'``, each segment after its parent."""
    joint = NTU.joints.index
    trunk = (
        ('spine', 'spine mid', 'spine base', (0.0, 0.30, 0.0)),
        ('chest', 'spine shoulder', 'spine mid', (0.0, 0.22, 0.0)),
        ('neck', 'neck', 'spine shoulder', (0.0, 0.07, 0.0)),
        ('head', 'head', 'neck', (0.0, 0.14, -0.02)),
    )
    limbs = (
        ('clavicle', 'shoulder', 'spine shoulder', (0.17, -0.03, 0.0)),
        ('upper arm', 'elbow', 'shoulder', (0.0, -0.27, 0.0)),
        ('forearm', 'wrist', 'elbow', (0.0, -0.25, 0.0)),
        ('palm', 'hand', 'wrist', (0.0, -0.08, 0.0)),
        ('fingers', 'hand tip', 'hand', (0.0, -0.09, 0.0)),
        ('thumb', 'thumb', 'hand', (-0.02, -0.03, -0.06)),
        ('pelvis', 'hip', 'spine base', (0.08, -0.05, 0.0)),
        ('thigh', 'knee', 'hip', (0.0, -0.40, 0.0)),
        ('shank', 'ankle', 'knee', (0.0, -0.39, 0.0)),
        ('foot', 'foot', 'ankle', (0.0, -0.06, -0.13)),
    )
    segments = {name: BodySegment(joint(end), joint(start), offset) for name, end, start, offset in trunk}
    for side, sign in (('left', -1), ('right', 1)):
        for name, end, start, (x, y, z) in limbs:
            start = start if start in NTU.joints else f'{side} {start}'
            segments[f'{side} {name}'] = BodySegment(joint(f'{side} {end}'), joint(start), (sign * x, y, z))
    return segments


SEGMENTS = _segments()

# Twist and abduction rotate the opposite way on the left, so that one set of angles serves both sides.
_MIRROR = np.ones((NTU.num_joints, 3))
for _left, _ in NTU.pairs:
    _MIRROR[_left] = 1.0, -1.0, -1.0


def pose_angles(pose: Pose) -> np.ndarray:
    """A pose as an array (V, 3) of degrees; segments that the pose does not name hang straight.

    Args:
        pose: segment name to (flexion, twist, abduction). A name without a side (``'thigh'``) bends both.

    Raises:
        KeyError: a name is not a segment of the body.
    """
    angles = np.zeros((NTU.num_joints, 3))
    for name, value in pose.items():
        for side in [name] if name in SEGMENTS else [f'left {name}', f'right {name}']:
            angles[SEGMENTS[side].joint] = value
    return angles


def rest_offsets(scale: np.ndarray | float = 1.0) -> np.ndarray:
    """The segments' offsets (V, 3) by the joint at their end, times ``scale`` (V,) or one factor for all."""
    offsets = np.zeros((NTU.num_joints, 3))
    for segment in SEGMENTS.values():
        offsets[segment.joint] = segment.offset
    return offsets * np.reshape(scale, (-1, 1))


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices ``R = R_z(abduction) R_x(flexion) R_y(twist)`` of degrees (..., 3): (..., 3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(f(np.deg2rad(angles)), -1, 0) for f in (np.cos, np.sin))
    rows = (
        (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
        (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
        (-cx * sy, sx, cx * cy),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def forward_kinematics(angles: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Joint positions with the pelvis at the origin: ``p_j = p_parent + R_j offset_j``, R along the tree.

    Args:
        angles: degrees of the segment that ends at each joint, (T, V, 3).
        offsets: of the same segments, (V, 3), meters.

    Returns:
        Positions (T, V, 3), meters.
    """
    local = rotations(angles * _MIRROR)
    rotated, positions = np.empty_like(local), np.zeros_like(angles, dtype=np.float64)
    rotated[:, 0] = np.eye(3)
    for j, parent, _ in SEGMENTS.values():
        rotated[:, j] = rotated[:, parent] @ local[:, j]
        positions[:, j] = positions[:, parent] + rotated[:, j] @ offsets[j]
    return positions


def plant_feet(positions: np.ndarray, softness: float = 0.02) -> np.ndarray:
    """Move the body so that its lower foot stays in place: legs walk and bent knees lower the hips.

    The frame's floor height is the lowest toe or ankle; from frame to frame the body moves against the
    ankles' motion, each weighted by ``sigmoid`` of how much lower it is, in units of ``softness``. The blend
    is smooth so that rounding on another machine can never choose another foot.

    Args:
        positions: (T, V, 3), pelvis at the origin.
        softness: meters.

    Returns:
        Positions (T, V, 3) with the floor at y = 0 and the first frame's pelvis above x = z = 0.
    """
    ankles, feet = (
        positions[:, [NTU.joints.index(f'{side} {part}') for side in ('left', 'right')]]
        for part in ('ankle', 'foot')
    )
    left = 1.0 / (1.0 + np.exp((ankles[:-1, 0, 1] - ankles[:-1, 1, 1]) / softness))
    slide = np.diff(ankles, axis=0)
    step = left[:, None] * slide[:, 0] + (1.0 - left)[:, None] * slide[:, 1]
    root = np.zeros((len(positions), 3))
    root[1:] = -np.cumsum(step, axis=0)
    root[:, 1] = -np.concatenate([ankles, feet], axis=1)[..., 1].min(axis=1)
    return positions + root[:, None]

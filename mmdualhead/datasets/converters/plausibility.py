"""Does a clip look like a person standing in front of a depth camera?

Files that break their format are refused when they are read. Axes that point elsewhere, left and right
exchanged, or millimeters for meters break no format, and would spoil a training silently. M persons,
T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmdualhead.skeletons import Skeleton

# Meters from hip to head: half a child's to twice a tall adult's.
TRUNK_LENGTHS = (0.2, 1.6)

UNIT_SIZES = {'m': 1, 'cm': 100, 'mm': 1000}

FEET = ('left ankle', 'left foot', 'right ankle', 'right foot')

# What a clip should be, and what the summary says if most are not.
DOUBTS = {
    'y is up': 'y does not point up',
    'left is left': 'left and right look exchanged, or the axes left-handed',
    'lengths are meters': 'lengths do not look like meters',
}


class Axes(NamedTuple):
    """How a recording lies in space.

    Args:
        person: the person that was looked at, the first that is there.
        up: the axis from hip to head, ``'+y'`` for the Kinect.
        trunk: the median length from hip to head, in the recording's unit.
        unit: ``'m'``, ``'cm'`` or ``'mm'``, whichever makes that a person's; None where none does.
    """

    person: int
    up: str
    trunk: float
    unit: str | None


def find_axes(keypoint: np.ndarray, skeleton: Skeleton) -> Axes | None:
    """Find the up axis and the unit of a recording by its first person.

    Args:
        keypoint: (M, T, V, C).
        skeleton: its layout.

    Returns:
        What was found; None where there is no depth or no joint named head, or no frame holds both ends.
    """
    if skeleton.up is None or 'head' not in skeleton.joints or keypoint.shape[-1] < 3:
        return None
    ends = keypoint[:, :, [skeleton.up[0], skeleton.joints.index('head')], :3]
    present = np.any(ends, axis=-1).all(-1)
    if not present.any():
        return None
    person = int(present.any(1).argmax())
    trunk = np.diff(ends[person, present[person]], axis=1)[:, 0]
    mean = trunk.mean(0)
    axis = int(np.abs(mean).argmax())
    length = float(np.median(np.linalg.norm(trunk, axis=1)))
    low, high = TRUNK_LENGTHS
    units = [unit for unit, size in UNIT_SIZES.items() if low < length / size < high]
    return Axes(person, f'{"+" if mean[axis] > 0 else "-"}{"xyz"[axis]}', length, units[0] if units else None)


def judge_posture(keypoint: np.ndarray, skeleton: Skeleton) -> dict[str, bool] | None:
    """Judge the first person that is there, over all frames that have the joints which this takes.

    Args:
        keypoint: (M, T, V, C).
        skeleton: its layout.

    Returns:
        Which of :data:`DOUBTS` hold: from hip to head is mostly +y; left is on the left of where the feet
        point, in right-handed axes; from hip to head could be meters. None where :func:`find_axes` has none,
        the layout does not name ankles and feet, or no frame has all of these joints.
    """
    axes = find_axes(keypoint, skeleton)
    if not (axes and skeleton.up and skeleton.across and set(FEET) <= set(skeleton.joints)):
        return None
    person = keypoint[axes.person, ..., :3]
    feet, head = [skeleton.joints.index(name) for name in FEET], skeleton.joints.index('head')
    there = np.any(person[:, [*feet, head, skeleton.up[0], *skeleton.across]], axis=-1)
    joints = person[np.all(there, axis=1)]
    if not len(joints):
        return None
    legs = [joints[:, foot] for foot in feet]
    # Not hip to spine, which says what is up elsewhere: on Kinect v1 it is short and leans backwards.
    up = joints[:, head] - joints[:, skeleton.up[0]]
    across = joints[:, skeleton.across[1]] - joints[:, skeleton.across[0]]
    ahead = legs[1] - legs[0] + legs[3] - legs[2]
    # Right = ahead x up in right-handed axes, and `across` goes from right to left.
    sided = bool((np.cross(ahead, up) * across).sum(axis=1).mean() < 0)
    return {'y is up': axes.up == '+y', 'left is left': sided, 'lengths are meters': axes.unit == 'm'}


def describe_postures(postures: Sequence[Mapping[str, bool]]) -> list[str]:
    """Sentences for the summary: the counts, and a warning for each that most clips fail."""
    if not postures:
        return []
    counts = {what: sum(posture[what] for posture in postures) for what in DOUBTS}
    held = ', '.join(f'{what} in {count}' for what, count in counts.items())
    failed = [DOUBTS[what] for what, count in counts.items() if 2 * count < len(postures)]
    return [
        f'posture: {held} of {len(postures)} clips',
        *(f'WARNING: in most clips {doubt}' for doubt in failed),
    ]

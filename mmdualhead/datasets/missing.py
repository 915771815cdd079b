"""Find the numbers by which other programs mark missing joints; here, missing joints are zero.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from mmdualhead.skeletons import Skeleton

CODES = tuple(number for power in range(2, 10) for number in (10**power - 1, 10**power))
"""Positive marks: 99, 100, 999, 1000, ..."""

LARGEST_MARK = np.float64(2**31)
"""Larger numbers are not marks."""

FAR = 2.0
"""Joints this many times as far apart as the ends of the longest bone are not both in their places."""

MOST_WHOLE = 0.005
"""The fraction of whole numbers in coordinates that were not rounded, among which one more is a mark."""


def marked_joints(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """True for joints that are marked as missing by a number.

    These are joints with one negative whole number in all coordinates, such as -1; with 99, 100, 999 and so
    on in all, far from the next joints; and, in space and unless coordinates are rounded, with a whole number
    in one coordinate by which they are far from the next joints, such as a depth of 0. In an image one
    coordinate says nothing: a joint may be on its edge, and in whole pixels anywhere.

    Args:
        keypoint: (M, T, V, C), or (V, C) for one person in one frame; finite, without confidences.
        skeleton: the layout.

    Returns:
        (M, T, V) or (V,).
    """
    x = keypoint if keypoint.ndim == 4 else keypoint[None, None]
    whole = x == np.rint(x)
    if not whole.any():  # as in most clips
        return np.zeros(keypoint.shape[:-1], bool)
    first, *others = np.moveaxis(x, -1, 0)  # one by one, since NumPy is slow at rows of two or three
    found = reduce(np.logical_and, [first == other for other in others], first != 0)
    if found.any():
        found &= whole[..., 0] & (np.abs(first) <= LARGEST_MARK)
        found = found & (first < 0) | _coded(x, found, skeleton)
    if not skeleton.flat:
        found = reduce(np.logical_or, _marked_by_one(x, whole, skeleton), found)
    return found.reshape(keypoint.shape[:-1])


def _coded(x: np.ndarray, same: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(M, T, V) True for joints with a code in all coordinates that is none of their person's."""
    number = x[..., 0]
    coded = same.copy()
    coded[same] = np.isin(number[same], CODES)
    if not coded.any() or not skeleton.bones:
        return np.zeros_like(coded)
    in_one_point = (coded & (number == number[..., :1])).all(-1) & (x.any(-1) & ~coded).any()
    marks = number[_far(x, x, coded, skeleton) | (coded & in_one_point[..., None])]
    return coded & np.isin(number, marks)


def _marked_by_one(x: np.ndarray, whole: np.ndarray, skeleton: Skeleton) -> Iterator[np.ndarray]:
    """(M, T, V) for each coordinate that marks joints, True for these."""
    coordinates = np.moveaxis(x, -1, 0)
    seen = reduce(np.logical_or, coordinates != 0)
    for axis, number in enumerate(coordinates):
        doubtful = whole[..., axis] & seen
        if not doubtful.any():
            continue
        marks, counts = np.unique(number[doubtful], return_counts=True)
        is_alone = counts.sum() - counts <= MOST_WHOLE * (seen.sum() - counts)
        is_alone &= np.abs(marks) <= LARGEST_MARK
        if is_alone.any():
            doubtful &= np.isin(number, marks[is_alone])
            yield doubtful & np.isin(number, number[_far(x[..., axis : axis + 1], x, doubtful, skeleton)])


@np.errstate(over='ignore')  # other coordinates may be of any size
def _far(x: np.ndarray, joints: np.ndarray, doubtful: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(M, T, V) True for doubtful joints that are far, in some coordinates x, from the next joints.

    If all of those are missing or doubtful, from all joints of the person in this or, if need be, any frame.
    """
    x, joints = x.astype(np.float64), joints.astype(np.float64)
    sure = np.asarray(joints.any(-1)) & ~doubtful
    longest = _longest_bone(joints, sure, skeleton)
    found = np.zeros_like(doubtful)
    if longest is None:
        return found
    person, frame, joint = places = np.nonzero(doubtful)
    apart = np.linalg.norm(x[person, frame] - x[places][:, None], axis=-1)
    is_next = np.zeros((skeleton.num_joints,) * 2, bool)
    for child, parent in skeleton.bones:
        is_next[child, parent] = is_next[parent, child] = True
    near = np.where(is_next[joint] & sure[person, frame], apart, np.inf).min(1, initial=np.inf)
    alone = ~np.isfinite(near)
    if alone.any():
        near[alone] = _beyond(x, sure, *(place[alone] for place in places))
    found[places] = np.asarray(sure.any((1, 2)))[person] & (near > FAR * longest)
    return found


def _beyond(
    x: np.ndarray, sure: np.ndarray, person: np.ndarray, frame: np.ndarray, joint: np.ndarray
) -> np.ndarray:
    """How far some joints are from the box around their person's sure joints in the frame, or in any."""
    low = np.where(sure[..., None], x, np.inf).min(2)
    high = np.where(sure[..., None], x, -np.inf).max(2)
    empty = ~np.asarray(sure.any(2))[..., None]
    low = np.where(empty, low.min(1, keepdims=True), low)[person, frame]
    high = np.where(empty, high.max(1, keepdims=True), high)[person, frame]
    x = x[person, frame, joint]
    return np.linalg.norm(np.maximum(np.maximum(low - x, x - high), 0), axis=-1)


def _longest_bone(joints: np.ndarray, sure: np.ndarray, skeleton: Skeleton) -> float | None:
    """The longest median length of a bone, over the persons and frames in which both ends are sure."""
    if not skeleton.bones:
        return None
    children, parents = np.array(skeleton.bones).T
    both = (sure[:, :, children] & sure[:, :, parents]).reshape(-1, len(children))
    numbers = both.sum(0)
    if not numbers.any():
        return None
    lengths = np.linalg.norm(joints[:, :, children] - joints[:, :, parents], axis=-1).reshape(both.shape)
    lengths, bones = np.sort(np.where(both, lengths, np.inf), axis=0), np.flatnonzero(numbers)
    middle = [lengths[middle[bones], bones] for middle in ((numbers - 1) // 2, numbers // 2)]
    return float(np.max((middle[0] + middle[1]) / 2))

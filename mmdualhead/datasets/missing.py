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
    first, *others = np.moveaxis(x, -1, 0)  # one by one, since NumPy is slow at rows of two or three
    found = reduce(np.logical_and, [first == other for other in others], first != 0)
    if found.any():
        found &= (first == np.rint(first)) & (np.abs(first) <= LARGEST_MARK)
        found = found & (first < 0) | _coded(x, found, skeleton)
    if not skeleton.flat:
        found = reduce(np.logical_or, _marked_by_one(x, skeleton), found)
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


def _marked_by_one(x: np.ndarray, skeleton: Skeleton) -> Iterator[np.ndarray]:
    """(M, T, V) for each coordinate that marks joints, True for these."""
    coordinates = np.moveaxis(x, -1, 0)
    seen = reduce(np.logical_or, coordinates != 0)
    for axis, number in enumerate(coordinates):
        doubtful = (number == np.rint(number)) & seen
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
    if longest is None:
        return np.zeros_like(doubtful)
    near = np.full(doubtful.shape, np.inf)
    for bone in skeleton.bones:
        length = np.linalg.norm(x[:, :, bone[0]] - x[:, :, bone[1]], axis=-1)
        for one, other in (bone, bone[::-1]):
            near[..., one] = np.minimum(near[..., one], np.where(sure[..., other], length, np.inf))
    low = np.where(sure[..., None], x, np.inf).min(2, keepdims=True)
    high = np.where(sure[..., None], x, -np.inf).max(2, keepdims=True)
    alone = ~sure.any(2)[..., None, None]
    low = np.where(alone, low.min(1, keepdims=True), low)
    high = np.where(alone, high.max(1, keepdims=True), high)
    beyond = np.linalg.norm(np.maximum(np.maximum(low - x, x - high), 0), axis=-1)
    near = np.where(np.isfinite(near), near, beyond)
    return doubtful & sure.any((1, 2))[:, None, None] & (near > FAR * longest)


def _longest_bone(joints: np.ndarray, sure: np.ndarray, skeleton: Skeleton) -> float | None:
    """The longest median length of a bone, over the persons and frames in which both ends are sure."""
    lengths = []
    for child, parent in skeleton.bones:
        both = sure[..., child] & sure[..., parent]
        if both.any():
            bone = joints[both][:, child] - joints[both][:, parent]
            lengths.append(float(np.median(np.linalg.norm(bone, axis=-1))))
    return max(lengths, default=None)

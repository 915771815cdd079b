"""A recording of several persons as recordings of one person, or of two that are near each other.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from mmdualhead.apis.tracks import centers_of
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton, get_skeleton


def each_person(
    recordings: Iterable[Recording], layout: Any, pair_distance: float | None = None
) -> Iterator[Recording]:
    """Recordings of one person or one pair, read one by one.

    Each has the frames from the first to the last in which its person, or both of a pair, are seen. Persons
    without a joint are skipped. Two persons are a pair if at least half the frames that show both show them
    near each other.

    Args:
        recordings: of any number of persons.
        layout: of those that do not name theirs.
        pair_distance: persons whose centers are closer than this, in the unit of the recording, are near each
            other; None for no pairs. A center that is missing (zero) is near no one.

    Yields:
        The persons of each recording, then its pairs. A recording that cannot be read, or shows no person, is
        passed on, so that its fault is reported where it is predicted.
    """
    for recording in recordings:
        try:
            read = recording.read()
            skeleton = get_skeleton(read.layout or layout)
            read = read.shaped(skeleton)
            parts = list(_persons(read.keypoint))
            if pair_distance is not None and read.keypoint.shape[2] == skeleton.num_joints:
                parts += _pairs(read.keypoint, skeleton, pair_distance)
        except Exception as error:  # readers may raise anything; prediction says which are faults of files
            yield recording.failing(error)
            continue
        if not parts:
            yield read
        for part in parts:
            yield _part(read, *part)


def check_pairs(distance: float | None, num_person: int | None) -> None:
    """Refuse pairs for a model that takes one person."""
    if distance is not None and num_person == 1:
        raise UserError('pair_distance: the model takes one person')


Part = tuple[tuple[int, ...], slice]
"""The rows of the persons, and their frames."""


def _persons(keypoint: np.ndarray) -> Iterator[Part]:
    seen = np.asarray(keypoint.any((2, 3)))
    for person in np.flatnonzero(seen.any(1)):
        yield (int(person),), _from_first_to_last(seen[person])


def _pairs(keypoint: np.ndarray, skeleton: Skeleton, distance: float) -> Iterator[Part]:
    centers = centers_of(keypoint, skeleton)
    for a, b in combinations(range(len(centers)), 2):
        apart = np.linalg.norm(centers[a] - centers[b], axis=-1)
        both = np.isfinite(apart)
        if both.any() and np.median(apart[both]) < distance:
            yield (a, b), _from_first_to_last(both)


def _from_first_to_last(seen: np.ndarray) -> slice:
    first, last = np.flatnonzero(seen)[[0, -1]]
    return slice(int(first), int(last) + 1)


def _part(recording: Recording, rows: tuple[int, ...], frames: slice) -> Recording:
    part = recording.of_persons(rows, frames)
    return replace(part, persons=part.ids or rows, ids=None, first_frame=frames.start, load=None)

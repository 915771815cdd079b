"""The joints of tracked persons, resampled to a fixed rate, in bounded memory.

T frames, V joints, C coordinates. Times are seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmdualhead.skeletons import Skeleton

Key = tuple[Hashable, ...]
"""The id of one person, or of two."""


def centers_of(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(..., C) where persons (..., V, C) are; NaN, which is near no one, where their center is missing."""
    centers = joints[..., skeleton.center, : 2 if skeleton.flat else 3]
    return np.where(centers.any(-1, keepdims=True), centers, np.nan)


@dataclass
class Track:
    """One person, resampled to the times ``index / frame_rate``."""

    time: float
    joints: np.ndarray
    grid: deque[np.ndarray]
    index: int
    """Index of the last time in the grid."""

    @property
    def first(self) -> int:
        """Index of the first time in the grid."""
        return self.index - len(self.grid) + 1


class Tracks(dict[Hashable, Track]):
    """At most ``most`` persons by id, and of each the last ``frames`` times of the grid.

    Persons who are in sight have priority over those who are not, and then those who came first.

    Args:
        frame_rate: times of the grid per second.
        frames: the number of times kept.
        most: the number of persons kept.
    """

    def __init__(self, frame_rate: float, frames: int, most: int) -> None:
        super().__init__()
        self.frame_rate, self.frames, self.most = frame_rate, frames, most

    def admitted(self, persons: Iterable[Hashable]) -> list[Hashable]:
        """Those persons of a frame that there is room for."""
        persons = list(persons)
        known = [person for person in persons if person in self]
        new = [person for person in persons if person not in self]
        return known + new[: self.most - len(known)]

    def make_room(self, persons: Sequence[Hashable]) -> None:
        """Forget persons that are out of sight, the longest first, as far as those of a frame need room."""
        absent = sorted(self.keys() - set(persons), key=lambda person: self[person].time)
        for person in absent[: max(0, len(absent) + len(persons) - self.most)]:
            del self[person]

    def forget(self, before: float) -> None:
        """Forget persons last seen before a time."""
        for person in [person for person, track in self.items() if track.time < before]:
            del self[person]

    def extend(self, person: Hashable, joints: np.ndarray, time: float) -> None:
        """Extend the grid up to a frame by linear interpolation from the previous frame."""
        before = math.ceil(time * self.frame_rate - 1e-6) - 1
        track = self.setdefault(person, Track(time, joints, deque(maxlen=self.frames), before))
        last = math.floor(time * self.frame_rate + 1e-6)
        # Missing joints are zero; nothing is interpolated between them and others.
        both = np.asarray(track.joints.any(1) & joints.any(1))[:, None]
        for index in range(max(track.index + 1, last - self.frames + 1), last + 1):
            share = np.interp(index / self.frame_rate, (track.time, time), (0, 1))
            between = np.where(both, track.joints + share * (joints - track.joints), joints)
            track.grid.append(between.astype(np.float32))
        track.index = max(track.index, last)
        track.time, track.joints = time, joints

    def span(self, persons: Sequence[Hashable]) -> tuple[int, int]:
        """The first and the last time in the grid that all of them have."""
        tracks = [self[person] for person in persons]
        return max(track.first for track in tracks), min(track.index for track in tracks)

    def window(self, persons: Sequence[Hashable], first: int, last: int) -> np.ndarray:
        """(M, T, V, C) their joints from one time of the grid to another."""
        tracks = [self[person] for person in persons]
        return np.array([list(one.grid)[first - one.first : last - one.first + 1] for one in tracks])

"""Follow persons from frame to frame. V joints, C coordinates; times are seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdualhead.datasets.poses.persons import Person
from mmdualhead.errors import UserError

JITTER, SPEED, FARTHEST = 0.2, 3.0, 1.0
"""A plausible step, in sizes of the person: at any time, per second more (of a runner), and at most."""

PATIENCE = 1.0
"""Seconds that a person may be out of sight."""

INERTIA = 0.5
"""The share of the last velocity in the next."""


@dataclass
class _Track:
    """One person when last seen."""

    place: np.ndarray
    velocity: np.ndarray
    size: float
    time: float

    def distance(self, place: np.ndarray, size: float, time: float) -> float:
        """The step to a place, relative to a plausible one, after moving on at the same velocity."""
        elapsed = time - self.time
        beyond = _step(self.place, place) - elapsed * self.velocity
        plausible = max(size, self.size) * min(JITTER + SPEED * elapsed, FARTHEST)
        return float(np.linalg.norm(beyond)) / plausible

    def follow(self, place: np.ndarray, size: float, time: float) -> None:
        """Move to a place."""
        velocity = _step(self.place, place) / (time - self.time)
        self.velocity = INERTIA * self.velocity + (1 - INERTIA) * velocity
        self.place, self.size, self.time = place, size, time


class Tracker:
    """Gives the persons of each frame the ids that they had before::

        tracker = Tracker()
        for time, persons in frames:
            by_id = tracker.update(persons, time)

    The person that is nearest to where another was going is the same one, if the step is plausible for a
    person of this size. Ids count from 0 in order of appearance. Persons whose estimator gave them ids keep
    those.

    Args:
        patience: seconds that a person may be out of sight before it starts over with another id.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        if not 0 < patience < math.inf:
            raise ValueError(f'patience is {patience}, expected a positive number')
        self.patience = patience
        self._tracks: dict[int, _Track] = {}
        self._time, self._count = -math.inf, 0
        self._has_ids: bool | None = None

    def update(self, persons: Sequence[Person], time: float) -> dict[Any, Person]:
        """Process the next frame.

        Args:
            persons: those in sight; one without any joint is ignored.
            time: when it was taken, later than the previous frame.

        Returns:
            The persons by id.

        Raises:
            UserError: time does not increase, two persons have the same id, or only some have one.
        """
        if not (math.isfinite(time) and time > self._time):
            raise UserError(f'time: {time} is not later than {self._time}')
        self._time = time
        persons = [person for person in persons if person.joints.any()]
        if not persons:
            return {}
        given = [person.id is not None for person in persons]
        self._has_ids = given[0] if self._has_ids is None else self._has_ids
        if set(given) != {self._has_ids}:
            raise UserError('some persons have an id, others have none')
        return _by_id(persons) if self._has_ids else self._follow(persons, time)

    def _follow(self, persons: Sequence[Person], time: float) -> dict[Any, Person]:
        self._tracks = {k: t for k, t in self._tracks.items() if time - t.time <= self.patience}
        places = [person.place for person in persons]
        sizes = list(map(_size, places))
        steps = [
            (track.distance(place, size, time), id, i)
            for id, track in self._tracks.items()
            for i, (place, size) in enumerate(zip(places, sizes, strict=True))
        ]
        ids: dict[int, int] = {}
        for step, id, i in sorted(steps):
            if step <= 1 and i not in ids and id not in ids.values():
                ids[i] = id
        for i, (place, size) in enumerate(zip(places, sizes, strict=True)):
            if i in ids:
                self._tracks[ids[i]].follow(place, size, time)
            else:
                ids[i], self._count = self._count, self._count + 1
                self._tracks[ids[i]] = _Track(place, np.zeros(place.shape[1]), size, time)
        return {id: persons[i] for i, id in sorted(ids.items())}


def _by_id(persons: Sequence[Person]) -> dict[Any, Person]:
    found = {person.id: person for person in persons}
    if len(found) < len(persons):
        ids = [person.id for person in persons]
        raise UserError(f'two persons have the id {next(id for id in ids if ids.count(id) > 1)}')
    return found


def _step(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(C,) the median step of the joints seen in both places, of all if there is none."""
    both = before.any(-1) & after.any(-1)
    if both.any():
        return np.median((after - before)[both], axis=0)
    return after[after.any(-1)].mean(0) - before[before.any(-1)].mean(0)


def _size(place: np.ndarray) -> float:
    """The diagonal of a box around the joints seen; not 0, which nothing could be divided by."""
    seen = place[place.any(-1)]
    return float(np.linalg.norm(seen.max(0) - seen.min(0))) or 1e-6

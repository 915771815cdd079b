"""Labels for tracked persons while they move, from frames as they come.

M persons, T frames, V joints, C coordinates, K classes. Times are seconds.
"""

from __future__ import annotations

import logging
import math
import numbers
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmdualhead.apis.forward import LARGEST
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.readers import Recording
from mmdualhead.datasets.plausibility import UNIT_SIZES
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.scores import FUSED, LabeledScores
from mmdualhead.skeletons import get_skeleton

logger = logging.getLogger('mmdualhead')

SPARSE, REPEATED = 4, 3
"""Windows of fewer frames than the first number tell nothing; so many steps in a row are no accident."""

Key = tuple[Hashable, ...]
"""Who: the id of a person, or two."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of time with one label.

    Args:
        persons: the ids it is about, one or two.
        label: the class.
        name: its name.
        begin: of the stretch: the middle of the first window that got this label.
        end: the middle of the last one.
        score: the highest smoothed score in it.
        ended: no window will be added.
    """

    persons: Key
    label: int
    name: str
    begin: float
    end: float
    score: float
    ended: bool = False


@dataclass
class _Track:
    """One person, resampled to a grid of moments ``index / frame_rate``."""

    time: float
    joints: np.ndarray
    grid: deque[np.ndarray]
    index: int
    """Of the last moment in the grid."""

    @property
    def first(self) -> int:
        """Of the first moment in the grid."""
        return self.index - len(self.grid) + 1


@dataclass
class _Group:
    """One person or pair that gets labels."""

    scores: np.ndarray | None = None
    segment: Segment | None = None
    hop: float = -math.inf
    seen: float = -math.inf
    """When it was last in sight, a pair: near each other."""


class StreamRecognizer:
    """Labels persons from a stream of frames::

        recognizer = StreamRecognizer(SkeletonInferencer(), threshold=0.6)
        for time, persons in tracker:
            for segment in recognizer.push(persons, time):
                print(segment)

    Each person's joints are interpolated to a fixed rate. Every ``hop`` seconds the last ``window`` seconds
    are answered as a recording would be, the scores smoothed by ``s <- (1 - a) s + a p``, and the best class
    taken if its score reaches the threshold. What is kept does not grow with the length of the stream:
    ``window * frame_rate`` frames of each person that was seen in the last ``patience`` seconds.

    Args:
        inferencer: gives the answers.
        window: seconds that are looked at.
        hop: seconds between two answers.
        frame_rate: frames per second that the model was trained on.
        smoothing: a, the weight of the newest answer; 1 for none.
        threshold: scores below it mean "nothing"; see :func:`calibrate`.
        patience: seconds that a person may be out of sight, or a pair apart; then it starts anew.
        pair_distance: persons whose centers are nearer than this, in the unit of the joints, are answered as
            a pair as well; None for no pairs. A center that is missing (zero) is near no other.
        layout, unit, img_shape: of the joints, as for :class:`~mmdualhead.apis.SkeletonInferencer`. Without
            a unit, the first window shows whether it could be meters.

    Raises:
        ValueError: a number is out of range, or the model takes one person and pairs are asked for.
    """

    def __init__(
        self,
        inferencer: SkeletonInferencer,
        *,
        window: float = 2.0,
        hop: float = 0.5,
        frame_rate: float = 30.0,
        smoothing: float = 0.5,
        threshold: float = 0.0,
        patience: float = 1.0,
        pair_distance: float | None = None,
        layout: Any = None,
        unit: str | None = None,
        img_shape: tuple[int, int] | None = None,
    ) -> None:
        positive = dict(window=window, hop=hop, frame_rate=frame_rate, smoothing=smoothing, patience=patience)
        for name, number in positive.items():
            if not 0 < number < math.inf:
                raise ValueError(f'{name} is {number}, expected a positive number')
        if smoothing > 1 or not 0 <= threshold <= 1:
            raise ValueError(f'smoothing is {smoothing}, threshold {threshold}; both are at most 1')
        if unit is not None and unit not in UNIT_SIZES:
            raise ValueError(f'unit is {unit!r}, expected one of {", ".join(UNIT_SIZES)}')
        self.model = inferencer.models[0]
        if pair_distance is not None and self.model.num_person == 1:
            raise ValueError('pair_distance: the model takes one person')
        self.inferencer, self.frame_rate, self.patience = inferencer, frame_rate, patience
        self.frames = max(2, round(window * frame_rate))
        self.hop = max(1, round(hop * frame_rate))
        self.smoothing, self.threshold, self.pair_distance = smoothing, threshold, pair_distance
        self.skeleton = get_skeleton(layout or self.model.skeleton)
        self._size = 1 if self.skeleton.flat else UNIT_SIZES[unit or 'm']
        self._options = dict(layout=layout, unit='m' if unit == 'm' else None, img_shape=img_shape)
        self._notes: set[str] = set()
        self._tracks: dict[Hashable, _Track] = {}
        self._groups: dict[Key, _Group] = {}
        self._longest = min(patience, window / SPARSE)
        self._time, self._long_steps = -math.inf, 0

    def push(self, frame: Mapping[Hashable, Any], time: float) -> list[Segment]:
        """Take the next frame.

        Args:
            frame: the joints (V, C) of each person in sight by id: x, y, z, or, in pixels, x, y and perhaps
                the confidence.
            time: when it was taken, in seconds from any moment on; later than the frame before.

        Returns:
            The segments that began, grew or ended; of one person the one that ended comes first.

        Raises:
            ValueError: time does not go on, or several times in steps so long that no window could be
                answered, as milliseconds would; joints are of the wrong shape, not finite or too large, or
                in pixels of a picture whose size is not known; names the person and the joint. The frame is
                then not taken. Or a window can't be answered, because of another unit for example.
        """
        if not isinstance(time, numbers.Real) or isinstance(time, bool):
            raise ValueError(f'time: {time!r} is not a number')
        if not math.isfinite(time) or time <= self._time:
            raise ValueError(f'time: {time} does not come after {self._time}')
        long_steps = self._count_long_steps(time - self._time) if frame else 0
        if self.model.input.needs_picture and self._options['img_shape'] is None:
            raise ValueError('img_shape: the model takes pixels; say the height and width of the picture')
        joints = {person: self._checked(person, value) for person, value in frame.items()}
        self._time, self._long_steps = time, long_steps
        changed = list(self._forget(time))
        for person, value in joints.items():
            self._extend(person, value, time)
        return changed + list(self._answer())

    def finish(self) -> list[Segment]:
        """End all segments, and forget everybody."""
        ended = [replace(group.segment, ended=True) for group in self._groups.values() if group.segment]
        self._tracks.clear()
        self._groups.clear()
        return ended

    def window(self, persons: Key) -> np.ndarray:
        """(M, T, V, C) what would be answered now for a person or a pair.

        Raises:
            KeyError: one of them is not in sight.
        """
        first, last = self._span(persons)
        tracks = [self._tracks[person] for person in persons]
        return np.array([list(one.grid)[first - one.first : last - one.first + 1] for one in tracks])

    def _span(self, persons: Key) -> tuple[int, int]:
        """The first and the last moment that all of them have."""
        tracks = [self._tracks[person] for person in persons]
        return max(track.first for track in tracks), min(track.index for track in tracks)

    def _count_long_steps(self, step: float) -> int:
        """How many steps in a row, this included, were too long between frames with persons."""
        if not (self._tracks and step > self._longest):
            return 0
        if self._long_steps + 1 == REPEATED:
            raise ValueError(
                f'time: {REPEATED} steps in a row of more than {self._longest:g} s, the last of {step:g} s, '
                f'fill no window of {self.frames / self.frame_rate:g} s; times are in seconds'
            )
        return self._long_steps + 1

    def _checked(self, person: Hashable, value: Any) -> np.ndarray:
        try:
            joints = np.array(value, np.float32)  # a copy, since trackers fill one array again and again
        except (TypeError, ValueError) as error:
            raise ValueError(f'person {person!r}: joints are not an array of numbers: {error}') from error
        skeleton, known = self.skeleton, self._tracks.get(person)
        channels = (known.joints.shape[1],) if known else (2, 3) if skeleton.flat else (3,)
        expected = [(skeleton.num_joints, number) for number in channels]
        if joints.shape not in expected:
            shapes = ' or '.join(map(str, expected))
            raise ValueError(f'person {person!r}: joints of shape {joints.shape}, expected {shapes}')
        bad = np.argwhere(~(np.abs(joints) <= LARGEST))
        if len(bad):
            name, number = skeleton.joints[bad[0, 0]], joints[tuple(bad[0])]
            fault = f'at {number:g}, expected at most {LARGEST:g}' if np.isfinite(number) else 'not finite'
            raise ValueError(f'person {person!r}: joint {bad[0, 0]} ({name}) is {fault}')
        return joints / np.float32(self._size)

    def _forget(self, time: float) -> Iterator[Segment]:
        """End what is about persons that were out of sight, or pairs that were apart, for too long."""
        for person in [p for p, track in self._tracks.items() if time - track.time > self.patience]:
            del self._tracks[person]
        for key in [key for key, group in self._groups.items() if time - group.seen > self.patience]:
            if segment := self._groups.pop(key).segment:
                yield replace(segment, ended=True)

    def _extend(self, person: Hashable, joints: np.ndarray, time: float) -> None:
        """Add the moments of the grid up to a frame, on the line from the frame before."""
        before = math.ceil(time * self.frame_rate - 1e-6) - 1
        new = _Track(time, joints, deque(maxlen=self.frames), before)
        track = self._tracks.setdefault(person, new)
        last = math.floor(time * self.frame_rate + 1e-6)
        # Joints that are missing are zero; nothing lies between them and others.
        both = np.asarray(track.joints.any(1) & joints.any(1))[:, None]
        for index in range(max(track.index + 1, last - self.frames + 1), last + 1):
            share = np.interp(index / self.frame_rate, (track.time, time), (0, 1))
            between = np.where(both, track.joints + share * (joints - track.joints), joints)
            track.grid.append(between.astype(np.float32))
        track.index = max(track.index, last)
        track.time, track.joints = time, joints

    def _answer(self) -> Iterator[Segment]:
        """Answer for everybody whose next window is full."""
        due = {}
        for key in self._keys():
            group = self._groups.setdefault(key, _Group())
            group.seen = self._time
            first, last = self._span(key)
            if last // self.hop > group.hop and last - first + 1 == self.frames:
                window = self.window(key)
                if window.any():
                    group.hop, due[key] = last // self.hop, window
        if not due:
            return
        windows = [
            Recording(name=f'stream, person {" and ".join(map(repr, key))}', keypoint=window)
            for key, window in due.items()
        ]
        answers = list(self.inferencer.iterate(windows, batch_size=len(due), **self._options))
        # A tracker keeps its unit, while a later window may show little of a person.
        self._options['unit'] = 'm'
        for key, answer in zip(due, answers, strict=True):
            self._warn(answer.notes)
            middle = sum(self._span(key)) / 2 / self.frame_rate
            yield from self._label(key, answer, middle)

    def _warn(self, notes: Sequence[str]) -> None:
        """Log what should be known about the answers, once."""
        for note in [note for note in notes if note not in self._notes]:
            self._notes.add(note)
            logger.warning('stream: %s', note)

    def _keys(self) -> list[Key]:
        there = [person for person, track in self._tracks.items() if track.time == self._time and track.grid]
        keys: list[Key] = [(person,) for person in there]
        if self.pair_distance is None or len(there) < 2:
            return keys
        centers = np.array([self._tracks[person].joints[self.skeleton.center] for person in there])
        known = np.asarray(centers.any(1))
        apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
        near = np.triu((apart * self._size < self.pair_distance) & known & known[:, None], 1)
        return keys + [(there[a], there[b]) for a, b in np.argwhere(near)]

    def _label(self, key: Key, answer: Answer, time: float) -> Iterator[Segment]:
        """Smooth the scores of a window, and go on with a segment or change it."""
        group, new = self._groups[key], answer.scores[FUSED]
        old = new if group.scores is None else group.scores
        group.scores = (1 - self.smoothing) * old + self.smoothing * new
        label, score = int(group.scores.argmax()), float(group.scores.max())
        segment, known = group.segment, score >= self.threshold
        if segment and not (known and segment.label == label):
            yield replace(segment, ended=True)
            segment = None
        if segment:
            segment = replace(segment, end=time, score=max(segment.score, score))
        elif known:
            name = answer.classes[label]
            segment = Segment(persons=key, label=label, name=name, begin=time, end=time, score=score)
        group.segment = segment
        if segment:
            yield segment


def calibrate(scores: LabeledScores, precision: float = 0.95) -> float:
    """The lowest threshold at which answers that reach it are right often enough.

    Args:
        scores: of validation clips; not of those that the model is then judged by.
        precision: the share of right answers among those whose fused score reaches the threshold.

    Raises:
        ValueError: no threshold does it.
    """
    confidence = scores.fused.max(1)
    order = np.argsort(-confidence, kind='stable')
    right = (scores.fused.argmax(1) == scores.labels)[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    # Clips of one score pass a threshold together.
    last_of_equal = np.append(confidence[order][1:] != confidence[order][:-1], True)
    enough = np.flatnonzero((share >= precision) & last_of_equal)
    if not enough.size:
        raise ValueError(f'{scores.source}: no threshold gives a precision of {precision}')
    return float(confidence[order][enough[-1]])


def frame_labels(segments: Sequence[Segment], times: np.ndarray) -> np.ndarray:
    """The label at each moment by the segments of one person; -1 for nothing."""
    labels = np.full(len(times), -1)
    for segment in segments:
        labels[(times >= segment.begin) & (times <= segment.end)] = segment.label
    return labels

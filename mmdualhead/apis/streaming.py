"""Online labels for tracked persons, frame by frame.

M persons, T frames, V joints, C coordinates, K classes. Times are seconds.
"""

from __future__ import annotations

import logging
import math
import numbers
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

import numpy as np

from mmdualhead.apis.fit import check_image
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.persons import check_pairs
from mmdualhead.apis.tracks import Key, Tracks, centers_of
from mmdualhead.apis.trained import PACKAGED
from mmdualhead.datasets.plausibility import UNIT_SIZES, bone_length, check_unit, find_axes, number_fault
from mmdualhead.datasets.poses import Person
from mmdualhead.datasets.recording import LARGEST, Recording
from mmdualhead.datasets.transforms.body import body_fault
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.scores import FUSED, LabeledScores
from mmdualhead.skeletons import get_skeleton

logger = logging.getLogger('mmdualhead')

STREAM_MODEL = PACKAGED.with_name('utd_mhad_stream.pth')
"""The packaged model of streams: UTD-MHAD, joint stream, and ``nothing`` around the end of an action."""

SPARSE, REPEATED = 4, 3
"""The fewest frames in a window, and how many longer steps in a row are an error."""

DENSE, MANY = 1e-3, 300
"""Shorter steps, of which so many in a row are an error."""

NOTHING = 'nothing'
"""The name of a class that gives no label, such as of what is between two actions."""

BATCH = 16
"""The number of windows per pass through the network."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A time segment with one label.

    Args:
        persons: the ids of the one or two persons.
        label: the class.
        name: its name.
        begin: where it begins: a window stands for half a hop on both sides of its middle.
        end: where it ends.
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
class _Group:
    """One person or pair that gets labels."""

    scores: np.ndarray | None = None
    until: float = -math.inf
    """The end of the time that its latest windows stand for."""
    segment: Segment | None = None
    hop: float = -math.inf
    seen: float = -math.inf
    """When it was last in sight, and a pair close together."""


class StreamRecognizer:
    """Labels persons from a stream of frames::

        recognizer = StreamRecognizer(SkeletonInferencer(), threshold=0.6)
        for time, persons in tracker:
            for segment in recognizer.push(persons, time):
                print(segment)

    Each person's joints are interpolated to a fixed rate. Every ``hop`` seconds the last ``window`` seconds
    are classified like a recording, the scores are smoothed by ``s <- (1 - a) s + a p``, and the best class
    is reported if its score reaches the threshold, unless it is named ``nothing``. The label stands for half
    a hop on both sides of the middle of the window.

    Memory does not grow with the length of the stream or the number of persons: ``window * frame_rate``
    frames are kept of each person seen in the last ``patience`` seconds, of at most ``max_persons``. Several
    threads may push, in the order of the times.

    Args:
        inferencer: makes the predictions.
        window: length of a window in seconds.
        hop: seconds between two predictions.
        frame_rate: frames per second that the model was trained on.
        smoothing: a, the weight of the latest prediction; 1 for no smoothing.
        threshold: scores below it give no label; see :func:`calibrate`.
        patience: seconds that a person may be out of sight, or a pair apart, before it starts over.
        pair_distance: persons whose centers are closer than this, in the unit of the joints, also get labels
            as a pair; None for no pairs. A person without a center (zero) forms no pair.
        layout, unit, img_shape: of the joints, as for :class:`~mmdualhead.apis.SkeletonInferencer`. Without
            a unit, the windows up to the first that shows hip and head must look like meters.
        max_persons: further persons are ignored: those in sight who were seen before have priority, then
            those who come first in the frame. Also the number of pairs, of which the nearest are labeled.

    Raises:
        ValueError: a number is out of range, or pairs are requested from a model of one person.
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
        max_persons: int = 32,
    ) -> None:
        _check_positive(window=window, hop=hop, frame_rate=frame_rate, smoothing=smoothing)
        _check_positive(patience=patience, max_persons=max_persons)
        if smoothing > 1 or not 0 <= threshold <= 1:
            raise ValueError(f'smoothing is {smoothing}, threshold {threshold}; neither may exceed 1')
        check_unit(unit)
        given = get_skeleton(layout) if layout else None
        inferencer = inferencer.for_joints(in_space=not (given and given.flat))
        self.model = inferencer.models[0]
        check_pairs(pair_distance, self.model.num_person)
        self.inferencer, self.frame_rate, self.patience = inferencer, frame_rate, patience
        self.frames = max(2, round(window * frame_rate))
        self.hop = max(1, round(hop * frame_rate))
        self.smoothing, self.threshold, self.pair_distance = smoothing, threshold, pair_distance
        self.skeleton = given or self.model.skeleton
        self._size = 1 if self.skeleton.flat else UNIT_SIZES[unit or 'm']
        self._options = dict(layout=layout, unit='m' if unit == 'm' else None, img_shape=img_shape)
        self._notes: set[str] = set()
        self._tracks = Tracks(frame_rate, self.frames, max_persons)
        self._groups: dict[Key, _Group] = {}
        self._longest = min(patience, window / SPARSE)
        self._time, self._long_steps, self._short_steps = -math.inf, 0, 0
        self._lock = RLock()

    def push(self, frame: Mapping[Hashable, Any], time: float) -> list[Segment]:
        """Process the next frame.

        Args:
            frame: the joints (V, C) of each person in sight by id: x, y, z, or, in pixels, x, y and perhaps
                the confidence; or a :class:`~mmdualhead.datasets.poses.Person`.
            time: when it was taken, in seconds from any origin; later than the previous frame.

        Returns:
            The segments that began, grew or ended; for each person, the segment that ended comes first.

        Raises:
            ValueError: time does not increase, or many steps in a row are too long or too short for seconds;
                joints are of the wrong shape, not finite or too large, or in pixels of an image of unknown
                size; the message names the person and the joint, and the frame is ignored. Or a window cannot
                be predicted, for example because of another unit.
        """
        if not isinstance(time, numbers.Real) or isinstance(time, bool):
            raise ValueError(f'time: {time!r} is not a number')
        with self._lock:
            return self._push(frame, float(time))

    def _push(self, frame: Mapping[Hashable, Any], time: float) -> list[Segment]:
        if not math.isfinite(time) or time <= self._time:
            raise ValueError(f'time: {time} is not later than {self._time}')
        counts = self._count_steps(time - self._time) if frame else (0, self._short_steps)
        check_image(self.model.input, self._options['img_shape'])
        joints = {person: self._checked(person, frame[person]) for person in self._tracks.admitted(frame)}
        if len(joints) < len(frame):
            self._warn([f'max_persons is {self._tracks.most}, further persons in a frame are ignored'])
        self._time, (self._long_steps, self._short_steps) = time, counts
        self._tracks.make_room(list(joints))
        self._tracks.forget(time - self.patience)
        changed = list(self._forget(time))
        for person, value in joints.items():
            self._tracks.extend(person, value, time)
        return changed + list(self._answer())

    def finish(self) -> list[Segment]:
        """End all segments and forget all persons."""
        with self._lock:
            ended = [replace(group.segment, ended=True) for group in self._groups.values() if group.segment]
            self._tracks.clear()
            self._groups.clear()
        return ended

    def window(self, persons: Key) -> np.ndarray:
        """(M, T, V, C) the current window of a person or a pair.

        Raises:
            KeyError: one of them is not in sight.
        """
        with self._lock:
            return self._tracks.window(persons, *self._tracks.span(persons))

    def _count_steps(self, step: float) -> tuple[int, int]:
        """How many consecutive steps, with this one, between frames with persons were too long or short."""
        long = self._long_steps + 1 if self._tracks and step > self._longest else 0
        short = self._short_steps + 1 if step < DENSE else 0
        if long == REPEATED:
            raise ValueError(
                f'time: {REPEATED} steps in a row of more than {self._longest:g} s, the last of {step:g} s, '
                f'are too long for a window of {self.frames / self.frame_rate:g} s; times are in seconds'
            )
        if short == MANY:
            raise ValueError(
                f'time: {MANY} steps in a row of less than {DENSE:g} s, the last of {step:g} s; times are in '
                'seconds'
            )
        return long, short

    def _checked(self, person: Hashable, value: Any) -> np.ndarray:
        if isinstance(value, Person):
            scores = value.scores if self.skeleton.flat else None
            value = value.joints if scores is None else np.column_stack([value.joints, scores])
        try:
            joints = np.array(value)  # a copy, since trackers may reuse one array
        except ValueError as error:
            raise ValueError(f'person {person!r}: joints are not an array of numbers: {error}') from error
        if joints.dtype.kind not in 'fiu':
            raise ValueError(f'person {person!r}: joints are not an array of numbers, but of {joints.dtype}')
        joints = joints.astype(np.float32)
        skeleton, known = self.skeleton, self._tracks.get(person)
        channels = (known.joints.shape[1],) if known else (2, 3) if skeleton.flat else (3,)
        expected = [(skeleton.num_joints, number) for number in channels]
        if joints.shape not in expected:
            shapes = ' or '.join(map(str, expected))
            raise ValueError(f'person {person!r}: joints of shape {joints.shape}, expected {shapes}')
        if fault := number_fault(joints, None, skeleton):
            raise ValueError(f'person {person!r}: {fault}')
        bad = np.argwhere(np.abs(joints) > LARGEST)
        if len(bad):
            name, number = skeleton.joints[bad[0, 0]], joints[tuple(bad[0])]
            fault = f'at {number:g}, expected at most {LARGEST:g}'
            raise ValueError(f'person {person!r}: joint {bad[0, 0]} ({name}) is {fault}')
        return joints / np.float32(self._size)

    def _forget(self, time: float) -> Iterator[Segment]:
        """End the segments of persons who are forgotten, and of pairs that were apart for too long."""
        for key, group in list(self._groups.items()):
            if time - group.seen > self.patience or not self._tracks.keys() >= set(key):
                del self._groups[key]
                if group.segment:
                    yield replace(group.segment, ended=True)

    def _answer(self) -> Iterator[Segment]:
        """Predict for all persons whose next window is full."""
        due: dict[Key, float] = {}
        windows = []
        for key in self._keys():
            group = self._groups.setdefault(key, _Group())
            group.seen = self._time
            first, last = self._tracks.span(key)
            if last // self.hop > group.hop and last - first + 1 == self.frames:
                window = self._tracks.window(key, first, last)
                if window.any() and self._shows_the_body(window):
                    group.hop, due[key] = last // self.hop, (first + last) / 2 / self.frame_rate
                    windows.append(Recording(name='stream', keypoint=window, persons=key))
        if not due:
            return
        answers = list(self.inferencer.iterate(windows, batch_size=BATCH, **self._options))
        if any(map(_shows_the_unit, answers)):
            # The unit of a tracker is constant, and a later window may show little of a person.
            self._options['unit'] = 'm'
        for (key, middle), answer in zip(due.items(), answers, strict=True):
            self._warn(answer.notes)
            yield from self._label(key, answer, middle)

    def _shows_the_body(self, window: np.ndarray) -> bool:
        """False if the model normalizes by a body that a window does not show."""
        min_score = self.model.input.min_score
        if min_score is None:
            return True
        fault = body_fault(dict(keypoint=window), self.skeleton, min_score, not self.skeleton.flat)
        self._warn([f'{fault}; persons get labels while these are in sight'] if fault else [])
        return not fault

    def _warn(self, notes: Sequence[str]) -> None:
        """Log each note on the predictions once."""
        for note in [note for note in notes if note not in self._notes]:
            self._notes.add(note)
            logger.warning('stream: %s', note)

    def _keys(self) -> list[Key]:
        """The persons in sight, and the nearest pairs of them, as many as there may be persons."""
        there = [person for person, track in self._tracks.items() if track.time == self._time and track.grid]
        keys: list[Key] = [(person,) for person in there]
        if self.pair_distance is None or len(there) < 2:
            return keys
        joints = np.array([self._tracks[person].joints for person in there])
        centers = self._size * centers_of(joints, self.skeleton)
        apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
        near = np.argwhere(np.triu(apart < self.pair_distance, 1))
        nearest = np.argsort([apart[a, b] for a, b in near], kind='stable')[: self._tracks.most]
        return keys + [(there[a], there[b]) for a, b in near[nearest]]

    def _label(self, key: Key, answer: Answer, time: float) -> Iterator[Segment]:
        """Smooth the scores of a window, and extend the segment or start a new one."""
        group, new = self._groups[key], answer.scores[FUSED]
        old = new if group.scores is None else group.scores
        group.scores = (1 - self.smoothing) * old + self.smoothing * new
        label, score = int(group.scores.argmax()), float(group.scores.max())
        name = answer.classes[label]
        segment, known = group.segment, score >= self.threshold and name != NOTHING
        if segment and not (known and segment.label == label):
            yield replace(segment, ended=True)
            segment = None
        half = self.hop / self.frame_rate / 2
        begin = time - half if time - half - group.until > half else max(group.until, time - half)
        group.until = time + half
        if segment:
            segment = replace(segment, end=time + half, score=max(segment.score, score))
        elif known:
            segment = Segment(persons=key, label=label, name=name, begin=begin, end=time + half, score=score)
        group.segment = segment
        if segment:
            yield segment


def _check_positive(**given: float) -> None:
    for name, number in given.items():
        if not 0 < number < math.inf:
            raise ValueError(f'{name} is {number}, expected a positive number')


def _shows_the_unit(answer: Answer) -> bool:
    """Whether its joints were enough to judge their unit, or whether they are in the image."""
    if answer.skeleton.flat:
        return bone_length(answer.keypoint, answer.skeleton) is not None
    return find_axes(answer.keypoint, answer.skeleton) is not None


def calibrate(scores: LabeledScores, precision: float = 0.95) -> float:
    """The lowest threshold that reaches the given precision.

    Args:
        scores: of validation clips, not of those that the model is evaluated on.
        precision: the share of correct predictions among those whose fused score reaches the threshold.

    Raises:
        ValueError: no threshold reaches it.
    """
    confidence = scores.fused.max(1)
    order = np.argsort(-confidence, kind='stable')
    right = (scores.fused.argmax(1) == scores.labels)[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    # Clips with equal scores pass a threshold together.
    last_of_equal = np.append(confidence[order][1:] != confidence[order][:-1], True)
    enough = np.flatnonzero((share >= precision) & last_of_equal)
    if not enough.size:
        raise ValueError(f'{scores.source}: no threshold gives a precision of {precision}')
    return float(confidence[order][enough[-1]])


def frame_labels(segments: Sequence[Segment], times: np.ndarray) -> np.ndarray:
    """The label at each time by the segments of one person; -1 for no label."""
    labels = np.full(len(times), -1)
    for segment in segments:
        labels[(times >= segment.begin) & (times <= segment.end)] = segment.label
    return labels

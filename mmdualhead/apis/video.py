"""Who does what in a video, and when: frames, poses, tracks, labels.

V joints, C coordinates. Times are seconds from the first frame.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import numpy as np

from mmdualhead.apis.estimators import Estimator
from mmdualhead.apis.frames import Frames
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.streaming import Segment, StreamRecognizer
from mmdualhead.datasets.poses import Person, Tracker
from mmdualhead.errors import UserError
from mmdualhead.evaluation.answer import plain_id
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.files import write_text
from mmdualhead.utils.tables import csv_table, text_table
from mmdualhead.utils.text import name_of
from mmdualhead.visualization.video import Film, draw_persons


@dataclass
class Sight:
    """When a person was in sight.

    Args:
        begin: the time of its first frame.
        end: that of its last one.
        frames: their number.
    """

    begin: float
    end: float
    frames: int = 0


@dataclass
class Watched:
    """What was found in a video.

    Args:
        times: of all frames.
        segments: with the one or two persons, the label, and from when to when; sorted by time.
        sights: when each person was in sight, by id, in order of appearance.
        poses: for each frame, the pixels and the scores of the joints of the persons by id; empty if they
            were not to be kept.
        estimating: seconds that the estimator took.
        recognizing: seconds that tracks and labels took.
        stopped: it was stopped before its end.
    """

    times: list[float] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    sights: dict[Hashable, Sight] = field(default_factory=dict)
    poses: list[dict[Hashable, Person]] = field(default_factory=list)
    estimating: float = 0.0
    recognizing: float = 0.0
    stopped: bool = False

    @property
    def duration(self) -> float:
        """From the first frame to the last one."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, the mean; None for a single frame."""
        return (len(self.times) - 1) / self.duration if self.duration else None

    @property
    def unlabeled(self) -> dict[Hashable, Sight]:
        """Persons without a segment."""
        labeled = {id for segment in self.segments for id in segment.persons}
        return {id: sight for id, sight in self.sights.items() if id not in labeled}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(
            frames=len(self.times),
            duration=round(self.duration, 3),
            frame_rate=self.frame_rate and round(self.frame_rate, 3),
            stopped=self.stopped,
            persons=[
                dict(
                    id=plain_id(id), begin=round(sight.begin, 3), end=round(sight.end, 3), frames=sight.frames
                )
                for id, sight in self.sights.items()
            ],
            segments=[
                dict(
                    persons=list(map(plain_id, one.persons)),
                    label=one.label,
                    class_name=one.name,
                    begin=round(one.begin, 3),
                    end=round(one.end, 3),
                    score=round(one.score, 4),
                )
                for one in self.segments
            ],
        )


def watch(
    frames: Iterable[tuple[np.ndarray, float]],
    estimator: Estimator,
    recognizer: StreamRecognizer,
    *,
    keep_poses: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Watched:
    """Label the persons in a video.

    Args:
        frames: images and times.
        estimator: finds the persons in an image.
        recognizer: labels them.
        keep_poses: keep what is needed to draw the persons, about 400 bytes for a person in a frame.
        stop: asked after each frame whether to end.

    Returns:
        What was found up to the end, or until it was stopped.

    Raises:
        UserError: a film, or the model, needs pixels that the estimator does not tell; or what persons do
            cannot be labeled.
    """
    found, tracker = Watched(), Tracker(recognizer.patience)
    for image, time in frames:
        began = perf_counter()
        persons = estimator.estimate(image, time)
        estimated = perf_counter()
        by_id = tracker.update(persons, time)
        joints = {id: _fitting(one, estimator, recognizer) for id, one in by_id.items()}
        found.segments += [segment for segment in recognizer.push(joints, time) if segment.ended]
        found.recognizing += perf_counter() - estimated
        found.estimating += estimated - began
        found.times.append(time)
        for id in by_id:
            sight = found.sights.setdefault(id, Sight(time, time))
            sight.end, sight.frames = time, sight.frames + 1
        if keep_poses:
            found.poses.append({id: Person(_pixels(one, estimator), one.scores) for id, one in by_id.items()})
        if stop():
            found.stopped = True
            break
    reach = (recognizer.frames / 2 + recognizer.hop) / recognizer.frame_rate
    found.segments = extend([*found.segments, *recognizer.finish()], found.sights, reach)
    return found


def make_recognizer(inferencer: SkeletonInferencer, estimator: Estimator, **options: Any) -> StreamRecognizer:
    """A recognizer for the joints of an estimator: in the image, if the model takes these, else in space.

    Args:
        inferencer: labels windows.
        estimator: finds the joints.
        **options: of :class:`~mmdualhead.apis.streaming.StreamRecognizer`, except layout and unit.

    Raises:
        UserError: the estimator finds joints in the image, the model takes them in space.
    """
    skeleton = get_skeleton(estimator.layout)
    if estimator.flat or inferencer.models[0].skeleton.flat:
        skeleton = replace(skeleton, flat=True, up=None, across=None)
    recognizer = StreamRecognizer(inferencer, layout=skeleton, unit=estimator.unit, **options)
    model = recognizer.model
    if skeleton.flat and not model.skeleton.flat:
        raise UserError(
            f'{type(estimator).__name__} finds joints in the image, the model {model.source} takes joints in '
            f'space ({model.skeleton.name}); choose another by --model'
        )
    return recognizer


def _fitting(person: Person, estimator: Estimator, recognizer: StreamRecognizer) -> Person:
    """With the joints that the model takes."""
    if not recognizer.skeleton.flat:
        return person
    return Person(_pixels(person, estimator), person.scores)


def _pixels(person: Person, estimator: Estimator) -> np.ndarray:
    """(V, 2) where the joints are in the image."""
    if person.image is None and not estimator.flat:
        raise UserError(
            f'{type(estimator).__name__} does not tell where joints are in the image (Person.image)'
        )
    return person.place[:, :2]


def extend(segments: Sequence[Segment], sights: Mapping[Hashable, Sight], reach: float) -> list[Segment]:
    """Segments of which the first one begins, and the last one ends, where its persons come and go.

    No window has its middle in the first and in the last half of a window that a person is in sight.

    Args:
        segments: as the stream gives them.
        sights: when persons were in sight.
        reach: seconds that a segment may be extended by.

    Returns:
        The segments, sorted by time.
    """
    found = []
    for key in dict.fromkeys(segment.persons for segment in segments):
        own = sorted((one for one in segments if one.persons == key), key=lambda one: one.begin)
        begin, end = max(sights[id].begin for id in key), min(sights[id].end for id in key)
        if own[0].begin - begin <= reach:
            own[0] = replace(own[0], begin=begin)
        if end - own[-1].end <= reach:
            own[-1] = replace(own[-1], end=end)
        found += own
    return sorted(found, key=lambda one: (one.begin, one.end, str(one.persons)))


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C, or the first SIGTERM, only ask for an end; the second one ends at once.

    Yields:
        Whether an end was asked for.
    """
    asked = threading.Event()
    before: dict[int, Any] = {}

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def to_table(found: Watched) -> str:
    """A text table: who, what, from, to, score."""
    rows = [
        [name_of(one.persons), one.name, clock(one.begin), clock(one.end), f'{100 * one.score:.1f}']
        for one in found.segments
    ]
    return text_table(['person', 'action', 'from', 'to', 'score, %'], rows)


def clock(time: float) -> str:
    """``1:02.5`` for 62.5 seconds."""
    tenths = round(10 * time)
    return f'{tenths // 600}:{tenths % 600 / 10:04.1f}'


def write_json(found: Watched, path: Path, **about: Any) -> None:
    """Write everything that was found.

    Args:
        found: what was found.
        path: the file.
        **about: of the video and the model, written before it.
    """
    write_text(path, json.dumps({**about, **found.to_dict()}, indent=1) + '\n')


def write_csv(found: Watched, path: Path) -> None:
    """Write ``person, label, class, begin, end, score``, one line per segment; times in seconds."""
    rows = [
        [name_of(one.persons), one.label, one.name, f'{one.begin:.3f}', f'{one.end:.3f}', f'{one.score:.4f}']
        for one in found.segments
    ]
    write_text(path, csv_table(['person', 'label', 'class', 'begin', 'end', 'score'], rows))


def recorded(frames: Iterable[tuple[np.ndarray, float]], film: Film) -> Iterator[tuple[np.ndarray, float]]:
    """The same frames, written to a film on the way."""
    for image, time in frames:
        film.write(image)
        yield image, time


def draw_film(found: Watched, frames: Frames, layout: Any, film: Film) -> None:
    """Draw what was found on each frame: joints, id, label and score.

    Args:
        found: with ``poses``.
        frames: the same frames once more.
        layout: of the joints.
        film: where they are written to; it is not saved.
    """
    skeleton, rows = get_skeleton(layout), zip(found.times, found.poses, strict=True)
    for (image, _), (time, persons) in zip(frames, rows, strict=False):
        labels = {one.persons: one for one in found.segments if one.begin <= time <= one.end}
        keys = [(id,) for id in persons] + [
            key for key in labels if len(key) > 1 and set(key) <= set(persons)
        ]
        captions = {
            key: f'{name_of(key)}  {labels[key].name} {100 * labels[key].score:.0f} %'
            if key in labels
            else name_of(key)
            for key in keys
        }
        film.write(draw_persons(image, skeleton, persons, captions))

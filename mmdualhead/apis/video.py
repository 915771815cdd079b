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
from mmdualhead.apis.streaming import Segment, StreamRecognizer
from mmdualhead.datasets.poses import Person, Tracker
from mmdualhead.errors import UserError
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.files import write_text
from mmdualhead.utils.tables import csv_table, text_table
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
                dict(id=id, begin=round(sight.begin, 3), end=round(sight.end, 3), frames=sight.frames)
                for id, sight in self.sights.items()
            ],
            segments=[
                dict(
                    persons=list(one.persons),
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
    is_flat = recognizer.model.skeleton.flat
    for image, time in frames:
        began = perf_counter()
        persons = estimator.estimate(image, time)
        estimated = perf_counter()
        by_id = tracker.update(persons, time)
        joints = {id: _joints(one, is_flat, estimator.flat) for id, one in by_id.items()}
        found.segments += [segment for segment in recognizer.push(joints, time) if segment.ended]
        found.recognizing += perf_counter() - estimated
        found.estimating += estimated - began
        found.times.append(time)
        for id in by_id:
            sight = found.sights.setdefault(id, Sight(time, time))
            sight.end, sight.frames = time, sight.frames + 1
        if keep_poses:
            found.poses.append(
                {id: Person(_pixels(one, estimator.flat), one.scores) for id, one in by_id.items()}
            )
        if stop():
            found.stopped = True
            break
    window, hop = (count / recognizer.frame_rate for count in (recognizer.frames, recognizer.hop))
    found.segments = spread([*found.segments, *recognizer.finish()], found.sights, window, hop)
    return found


def check_fit(estimator: Estimator, recognizer: StreamRecognizer) -> None:
    """Refuse an estimator of pixels in front of a model that takes joints in space.

    Raises:
        UserError: that is so.
    """
    model = recognizer.model
    if estimator.flat and not model.skeleton.flat:
        raise UserError(
            f'{type(estimator).__name__} finds joints in the image, the model {model.source} takes joints in '
            f'space ({model.skeleton.name}); choose another by --model'
        )


def _joints(person: Person, is_flat: bool, in_image: bool) -> np.ndarray:
    """(V, 3): x, y, z, or for models of joints in an image x, y and the score."""
    if not is_flat:
        return person.joints
    pixels = _pixels(person, in_image)
    known = pixels.any(1) if person.scores is None else person.scores
    return np.column_stack([pixels, known]).astype(np.float32)


def _pixels(person: Person, in_image: bool) -> np.ndarray:
    """(V, 2) where the joints are in the image."""
    if person.image is None and not in_image:
        raise UserError('the estimator does not tell where joints are in the image (Person.image)')
    return person.place[:, :2]


def spread(
    segments: Sequence[Segment], sights: Mapping[Hashable, Sight], window: float, hop: float
) -> list[Segment]:
    """Segments that last from where their first window counts to where the last one does.

    A window stands for the time around its middle, half a hop to each side. The first and the last window
    that a person has count from where it came into sight, and to where it left.

    Args:
        segments: from the middle of the first window to that of the last one.
        sights: when persons were in sight.
        window: length of a window.
        hop: time between two windows.

    Returns:
        The segments, sorted by time.
    """
    found = []
    reach = window / 2 + hop
    for key in dict.fromkeys(segment.persons for segment in segments):
        own = sorted((one for one in segments if one.persons == key), key=lambda one: one.begin)
        begin, end = max(sights[id].begin for id in key), min(sights[id].end for id in key)
        begins = [max(begin, one.begin - hop / 2) for one in own]
        ends = [min(end, one.end + hop / 2) for one in own]
        for i in range(1, len(own)):
            middle = (own[i - 1].end + own[i].begin) / 2
            begins[i], ends[i - 1] = max(begins[i], middle), min(ends[i - 1], middle)
        if own[0].begin - begin <= reach:
            begins[0] = begin
        if end - own[-1].end <= reach:
            ends[-1] = end
        found += [replace(one, begin=b, end=e) for one, b, e in zip(own, begins, ends, strict=True)]
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


def name_of(persons: Sequence[Hashable]) -> str:
    """The persons as text: ``7``, or of a pair ``7+9``."""
    return '+'.join(map(str, persons))


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
    write_text(path, json.dumps({**about, **found.to_dict()}, indent=1, default=str) + '\n')


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

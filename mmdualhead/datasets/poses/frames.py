"""One clip from the persons that an estimator's file lists frame by frame.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import gcd
from pathlib import PurePath
from typing import Any

import numpy as np

from mmdualhead.datasets.plausibility import HIGHEST, LOWEST, bone_length
from mmdualhead.datasets.poses.persons import Person, gather
from mmdualhead.datasets.poses.tracker import PATIENCE, Tracker
from mmdualhead.datasets.recording import LARGEST, EmptyRecording, Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton, get_skeleton
from mmdualhead.utils.reading import json_numbers, shown
from mmdualhead.utils.text import plural

LAYOUTS = {
    **{(17, 2): 'coco', (133, 2): 'coco'},
    **{(26, 2): 'halpe_26', (136, 2): 'halpe_26'},
    **{(18, 2): 'openpose', (25, 2): 'openpose_25'},
}
"""The layout of estimators' (V, C) joints. COCO-WholeBody and Halpe list the body first, which is kept."""

RATE = 30.0
"""Frames per second for tracks where the file does not tell."""


SPARSE, FEW = 10, 1000
"""Frame numbers may spread over so many times the frames that are listed, and so many more."""

NUMBERS = ('frame_id', 'frame', 'frame_index', 'frame_number', 'frame_idx')
"""Names of the number of a frame."""

TIMES = ('timestamp_ms', 'timestamp_us', 'timestamp', 'time')
"""Names of the time of a frame."""

METERS = (0.005, 1.0)
"""The median length of the bones in space: of a child's face and fingers, and above all of a giant's."""

FEWEST = 2
"""Listed frames for which a person may be out of sight, however far they are apart."""

LARGEST_NUMBER = 2**53
NUMBERED = re.compile(r'(.*?)(\d{1,15})(\D*)')
SUFFIX = re.compile(r'\.[A-Za-z]+$')


@contextmanager
def named(where: object) -> Iterator[None]:
    """Name a place in the errors of its contents."""
    try:
        yield
    except ValueError as error:
        kind = EmptyRecording if isinstance(error, EmptyRecording) else UserError
        raise kind(f'{where}: {error}') from None


def field_of(entry: Any, name: str) -> Any:
    """A field of an object in a file.

    Raises:
        UserError: it is not an object, or lacks the field.
    """
    if not isinstance(entry, Mapping) or name not in entry:
        raise UserError(f'expected an object with {name!r}, found {shown(entry)}')
    return entry[name]


def list_of(entry: Any, name: str) -> Sequence[Any]:
    """A field that is a list.

    Raises:
        UserError: the field is missing or something else.
    """
    value = field_of(entry, name)
    if not isinstance(value, list | tuple):
        raise UserError(f'{name}: {shown(value)} is not a list')
    return value


def id_of(entry: Any, name: str) -> int | None:
    """The number of a person, which may be a float, and in a list; None if there is none.

    Raises:
        UserError: it is something else.
    """
    value: Any = entry.get(name) if isinstance(entry, Mapping) else None
    while isinstance(value, list) and value:
        value = value[0]
    if value is None or type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise UserError(f'{name}: {shown(value)} is not the number of a person')


def frames_by_number(entries: Sequence[Any], read: Callable[[Any], list[Person]]) -> dict[int, list[Person]]:
    """The persons in each frame, by its number, or else in their order.

    Args:
        entries: the frames.
        read: the persons in one of them.

    Raises:
        UserError: two frames have the same number, or one something else; frames without numbers are not in
            the order of their times; or as ``read``.
    """
    frames: dict[int, list[Person]] = {}
    latest = -np.inf
    for i, entry in enumerate(entries):
        with named(f'entry {i}'):
            known = entry if isinstance(entry, Mapping) else {}
            number = next((known[name] for name in NUMBERS if name in known), i)
            if type(number) is not int or number in frames or abs(number) > LARGEST_NUMBER:
                raise UserError(f'frame {shown(number)} occurs twice, or is not a number')
            time = next((known[name] for name in TIMES if name in known), None)
            if isinstance(time, int | float) and not any(name in known for name in NUMBERS):
                if time <= latest:
                    raise UserError(f'time {time} does not follow {latest}; sort the frames, or number them')
                latest = time
            frames[number] = read(entry)
    return frames


def make_person(joints: np.ndarray, scores: Any = None, id: Hashable | None = None) -> Person:
    """A person, whose joints are missing where their score is not positive.

    Args:
        joints: (V, C) coordinates.
        scores: (V,) confidences, if they are known.
        id: of the person, if it is known.

    Raises:
        UserError: coordinates are not finite or too large, or scores have another length or are out of range.
    """
    bad = ~(np.abs(joints) <= LARGEST).all(1)
    if scores is not None:
        scores = np.asarray(scores, np.float64)
        if scores.shape != joints.shape[:1]:
            raise UserError(f'{len(joints)} joints, but scores of shape {scores.shape}')
        bad |= ~((scores >= LOWEST) & (scores <= HIGHEST))
    if bad.any():
        i = int(bad.argmax())
        score = '' if scores is None else f' with score {scores[i]:g}'
        place = ', '.join(f'{number:g}' for number in joints[i])
        allowed = f'expected at most {LARGEST:g}, and scores from 0 to 1'
        raise UserError(f'joint {i} is at ({place}){score}, {allowed}')
    if scores is None:
        return Person(joints, None, id)
    return Person(np.where(scores[:, None] > 0, joints, 0), np.clip(scores, 0, 1), id)


def upright(joints: np.ndarray) -> np.ndarray:
    """Joints (..., 3) with y up, as the Kinect has them, from a camera's: x right, y down, z ahead."""
    return joints * (-1, -1, 1)


def triples(entry: Any, name: str, id: Hashable | None = None) -> Person:
    """A person whose joints are listed as x, y, score of each."""
    with named(name):
        numbers = json_numbers(field_of(entry, name), 1)
        if len(numbers) % 3 or not len(numbers):
            raise UserError(f'{len(numbers)} numbers, expected x, y and score of each joint')
        joints = numbers.reshape(-1, 3)
        return make_person(joints[:, :2], joints[:, 2], id)


def number_frames(names: Iterable[Any]) -> dict[Any, int]:
    """The numbers of frames by their names: ``clip_000012``, ``12.jpg``, or numbers themselves.

    Raises:
        UserError: a name has no number, two have the same, or they are those of two recordings.
    """
    numbers: dict[Any, int] = {}
    others: dict[Any, Any] = {}
    for name in names:
        stem = SUFFIX.sub('', PurePath(str(name)).name)  # a dot may also precede the number
        match = NUMBERED.fullmatch(stem) if type(name) in (str, int) else None
        if match is None:
            raise UserError(f'{shown(name)} contains no frame number')
        numbers[name] = int(match[2])
        others.setdefault((match[1], match[3]), name)
    if len(others) > 1:
        first, second, *_ = others.values()
        raise UserError(f'{first} and {second} are frames of two recordings; separate them')
    if twice := len(numbers) - len(set(numbers.values())):
        raise UserError(f'{plural(twice, "frame")} with the number of another')
    return numbers


def clip_of_frames(
    frames: Mapping[int, Sequence[Person]],
    layout: str | None = None,
    frame_rate: float | None = None,
    img_shape: tuple[int, int] | None = None,
) -> Recording:
    """The clip of a recording; persons without ids are tracked.

    Frames that are not listed have no person. If all numbers are apart by a multiple of a step, so are the
    frames of the clip.

    Args:
        frames: the persons in each frame, by its number.
        layout: of the joints; by default it follows from their number, see :data:`LAYOUTS`.
        frame_rate: frames per second, if it is known.
        img_shape: (height, width) of the image, if it is known.

    Raises:
        EmptyRecording: it shows no person.
        UserError: persons have different or unknown numbers of joints, two in a frame have the same id, most
            of the frames are not listed, or joints in space are not in meters.
    """
    numbers = sorted(frames)
    if not any(frames.values()):
        raise EmptyRecording(f'no person in any of {plural(len(frames), "frame")}')
    shape = _shape(frames)
    layout = layout or LAYOUTS.get(shape, '')
    if not layout:
        known = ', '.join(f'{joints} ({name})' for (joints, _), name in LAYOUTS.items())
        raise UserError(f'{shape[0]} joints of {shape[1]} coordinates, expected {known} of 2')
    first, last = numbers[0], numbers[-1]
    step = gcd(*(b - a for a, b in pairwise(numbers))) or 1
    length = (last - first) // step + 1
    if length > SPARSE * len(numbers) + FEW:
        raise UserError(f'of the frames from {first} to {last}, only {len(numbers)} are listed')
    rate = frame_rate or RATE
    tracker = Tracker(max(PATIENCE, FEWEST * step / rate))
    tracked = {}
    for number in numbers:
        with named(f'frame {number}'):
            tracked[number] = tracker.update(frames[number], (number - first) / rate)
    joints, scores, ids = gather([tracked.get(first + i * step, {}) for i in range(length)])
    skeleton = get_skeleton(layout)
    body = skeleton.num_joints
    if not skeleton.flat:
        _check_meters(joints, skeleton)
    return Recording(
        keypoint=joints[:, :, :body],
        keypoint_score=None if scores is None else scores[:, :, :body],
        img_shape=img_shape,
        layout=layout,
        ids=ids,
        frame_rate=frame_rate and frame_rate / step,
        numbers=range(first, last + 1, step),
    )


def _check_meters(joints: np.ndarray, skeleton: Skeleton) -> None:
    length = bone_length(joints, skeleton) if joints.shape[-1] > 2 else None
    if length is not None and not METERS[0] < length < METERS[1]:
        raise UserError(f'the bones are {length:.3g} m long (median); are the joints in another unit?')


def _shape(frames: Mapping[int, Sequence[Person]]) -> tuple[int, int]:
    """(V, C) of all persons."""
    shapes: dict[tuple[int, int], int] = {}
    for number in sorted(frames):
        for person in frames[number]:
            shapes.setdefault((len(person.joints), person.joints.shape[1]), number)
    if len(shapes) > 1:
        found = ', '.join(f'{shape} in frame {number}' for shape, number in shapes.items())
        raise UserError(f'persons have joints of different shapes: {found}')
    return next(iter(shapes))

"""MediaPipe's landmarks: in meters around the hip (world), or in fractions of the image.

MediaPipe has no file format of its own. These are the usual ones: JSON that lists, for each frame, the
landmarks of one or more persons, as objects with x, y, z and visibility; and tables of the same.

P persons in all frames, V joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmdualhead.datasets.poses.frames import (
    clip_of_frames,
    field_of,
    frames_by_number,
    make_person,
    named,
    upright,
)
from mmdualhead.datasets.poses.persons import Person
from mmdualhead.datasets.recording import LARGEST, Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import MEDIAPIPE, Skeleton
from mmdualhead.utils.reading import json_numbers, shown

WORLD = ('pose_world_landmarks', 'poseWorldLandmarks', 'world_landmarks', 'worldLandmarks')
PICTURE = ('pose_landmarks', 'poseLandmarks', 'landmarks', 'landmark')
"""Names of the landmarks."""

HIPS = [MEDIAPIPE.joints.index(f'{side} hip') for side in ('left', 'right')]
AT_HIP, MOST_OUTSIDE, FAR = 0.05, 0.25, 4.0
"""How far, in meters, the middle of the hips may be from the origin; the share of numbers that may be beyond
the image; and numbers that are neither meters nor fractions."""


def is_landmarks(content: Any) -> bool:
    """True if these are the contents of a file of landmarks."""
    if isinstance(content, Mapping):
        content = content.get('frames')
    frames = content if isinstance(content, list | tuple) else ()
    first = next((frame for frame in frames if isinstance(frame, Mapping | list) and frame), None)
    if isinstance(first, Mapping) and {*WORLD, *PICTURE} & set(first):
        return True
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, Mapping) and {'x', 'y', 'z'} <= set(first)


def read_landmarks(content: Any, img_shape: tuple[int, int] | None) -> Recording:
    """The clip in a file of landmarks; where it has both kinds, of the world's.

    Args:
        content: of the file; see :func:`is_landmarks`.
        img_shape: (height, width) of the image, if the file does not have it.

    Raises:
        UserError: as :func:`clip_of_landmarks`, or landmarks are malformed.
    """
    known = content if isinstance(content, Mapping) else {}
    height, width, rate = (known.get(name, 0) for name in ('height', 'width', 'fps'))
    kinds: set[bool | None] = set()

    def read(frame: Any) -> list[Person]:
        kind, persons = _read_frame(frame)
        kinds.update([kind] if persons else [])
        return persons

    frames = frames_by_number(known['frames'] if known else content, read)
    if len(kinds) > 1:
        raise UserError('some frames have world landmarks, others have not')
    if all(type(side) in (int, float) and 0 < side < LARGEST for side in (height, width)):
        img_shape = height, width
    rate = float(rate) if isinstance(rate, int | float) and 0 < rate < LARGEST else None
    return clip_of_landmarks(frames, kinds.pop() if kinds else None, img_shape, rate)


def _read_frame(entry: Any) -> tuple[bool | None, list[Person]]:
    """The persons in a frame, and whether their landmarks are the world's, if it says so."""
    if not isinstance(entry, Mapping):
        return None, _read_persons(entry)
    world, picture = (
        _read_persons(next((entry[name] for name in names if entry.get(name)), None))
        for names in (WORLD, PICTURE)
    )
    if not world:
        is_picture = any(name.lower().startswith('pose') for name in PICTURE if entry.get(name))
        return False if is_picture else None, picture
    if picture and len(picture) != len(world):
        raise UserError(f'{len(world)} persons with world landmarks, {len(picture)} with picture landmarks')
    if picture:
        world = [replace(a, image=b.joints[:, :2]) for a, b in zip(world, picture, strict=True)]
    return True, world


def _read_persons(value: Any) -> list[Person]:
    """The landmarks of one or of several persons."""
    if not value:
        return []
    value = value['landmark'] if isinstance(value, Mapping) and 'landmark' in value else value
    if not isinstance(value, list):
        raise UserError(f'{shown(value)} is not a list of landmarks')
    is_one = bool(value) and isinstance(value[0], Mapping) and 'landmark' not in value[0]
    return [_read_person(i, one) for i, one in enumerate([value] if is_one else value)]


def _read_person(index: int, value: Any) -> Person:
    with named(f'person {index}'):
        value = value['landmark'] if isinstance(value, Mapping) and 'landmark' in value else value
        if not isinstance(value, list) or len(value) != MEDIAPIPE.num_joints:
            raise UserError(f'expected {MEDIAPIPE.num_joints} landmarks, found {shown(value)}')
        joints = json_numbers([[field_of(one, axis) for axis in 'xyz'] for one in value], 2)
        return make_person(joints, json_numbers([one.get('visibility', 1) for one in value], 1))


def clip_of_landmarks(
    frames: Mapping[int, Sequence[Person]],
    is_world: bool | None,
    img_shape: tuple[int, int] | None,
    frame_rate: float | None = None,
) -> Recording:
    """The clip of persons whose joints are landmarks.

    World landmarks become meters with y up. Picture landmarks become pixels; their z, which is not a
    distance, is left out.

    Args:
        frames: the persons in each frame, by its number.
        is_world: which of both they are; None if only their values tell.
        img_shape: (height, width) of the image.
        frame_rate: frames per second, if it is known.

    Raises:
        UserError: their values contradict what they are said to be, or do not tell it; picture landmarks have
            no image size; or the world landmarks of several persons have no picture landmarks beside them.
    """
    persons = [person for frame in frames.values() for person in frame]
    joints = np.array([person.joints for person in persons])
    looks = judge_landmarks(joints) if persons else is_world
    kinds = {is_world, looks} - {None}
    if persons and (len(kinds) != 1 or _are_far(joints)):
        raise UserError(
            'landmarks are not clearly meters around the hip (world landmarks) or fractions of the image '
            '(picture landmarks)'
        )
    if kinds == {True}:
        crowded = [number for number, frame in frames.items() if len(frame) > 1]
        if any(person.image is None for number in crowded for person in frames[number]):
            raise UserError(
                f'frame {crowded[0]}: world landmarks of several persons, all relative to their hips; '
                'picture landmarks are needed beside them, to tell the persons apart'
            )
        changed = {n: [replace(a, joints=upright(a.joints)) for a in frame] for n, frame in frames.items()}
        return clip_of_frames(changed, MEDIAPIPE.name, frame_rate)
    if img_shape is None:
        raise UserError('img_shape: picture landmarks are fractions of the image; give its height and width')
    size = img_shape[::-1]
    changed = {n: [replace(a, joints=a.joints[:, :2] * size) for a in frame] for n, frame in frames.items()}
    return clip_of_frames(changed, MEDIAPIPE.name, frame_rate, img_shape)


def clip_of_table(
    joints: np.ndarray, scores: np.ndarray | None, img_shape: tuple[int, int] | None
) -> Recording | None:
    """The clip in a table of x, y, z and visibility of each landmark.

    Args:
        joints: (1, T, V, C).
        scores: (1, T, V).
        img_shape: (height, width) of the image.

    Returns:
        The clip; None if they are not clearly landmarks.

    Raises:
        UserError: as :func:`clip_of_landmarks`.
    """
    seen = joints[0].any((1, 2))
    if scores is None or joints.shape[2:] != (MEDIAPIPE.num_joints, 3) or not seen.any():
        return None
    is_world = judge_landmarks(joints[0, seen])
    if is_world is None:
        return None
    frames: dict[int, list[Person]] = {}
    for t, (one, score) in enumerate(zip(joints[0], scores[0], strict=True)):
        with named(f'frame {t}'):
            frames[t] = [make_person(one, score)] if seen[t] else []
    return clip_of_landmarks(frames, is_world, img_shape)


def judge_landmarks(joints: np.ndarray) -> bool | None:
    """True if landmarks (P, V, 3) look like the world's, False if like the picture's, otherwise None."""
    x = joints[..., :2]
    if _are_far(joints):
        return None
    if np.median(np.abs(x[:, HIPS].mean(1)).max(-1)) < AT_HIP:
        return True
    return False if ((x < 0) | (x > 1)).mean() <= MOST_OUTSIDE else None


def check_landmarks(keypoint: np.ndarray, skeleton: Skeleton) -> None:
    """Refuse picture landmarks, fractions of an image, as joints in space (M, T, V, C)."""
    if skeleton.joints != MEDIAPIPE.joints or keypoint.shape[2:] != (MEDIAPIPE.num_joints, 3):
        return
    if judge_landmarks(keypoint[keypoint.any((2, 3))]) is False:
        raise UserError(
            'keypoint: coordinates look like picture landmarks, fractions of the image whose z is not a '
            "distance; give world landmarks, or x and y alone with img_shape=(height, width); unit='m' uses "
            'the numbers as they are'
        )


def _are_far(joints: np.ndarray) -> bool:
    return bool(np.median(np.abs(joints[..., :2])) > FAR)

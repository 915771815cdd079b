"""The files of estimators: JSON by its contents, and folders of one file for each frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.poses import mediapipe
from mmdualhead.datasets.poses.arrays import NTU_DICT, read_ntu_dict
from mmdualhead.datasets.poses.frames import (
    LARGEST_NUMBER,
    NUMBERS,
    clip_of_frames,
    field_of,
    frames_by_number,
    id_of,
    list_of,
    make_person,
    named,
    number_frames,
    triples,
    upright,
)
from mmdualhead.datasets.poses.persons import Person
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import KINECT_AZURE
from mmdualhead.utils.reading import json_numbers, open_regular, parse_json, read_bytes, shown

Picture = tuple[int, int] | None
"""(height, width) of the image, if it is known."""

FRAME = '_keypoints.json'
"""The end of the names of OpenPose's files, one for each frame."""

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm')

ONE_FRAME = re.compile(
    rb'(\xef\xbb\xbf)?\s*('
    rb'\{\s*("version"\s*:[^,\[{]*,\s*)?"(people|bodies|pose_?(world_?)?landmarks)"'
    rb'|\[\s*\{\s*("x"|"keypoints"\s*:\s*\[\s*\[?\s*[-\d])'
    rb'|\[\s*\]\s*$)',
    re.IGNORECASE,
)
"""The beginning of a file of one frame: of OpenPose and AlphaPose; of MediaPipe; of MMPose and OpenPifPaf."""

ALPHAPOSE = ('sep-json', 'alphapose-results.json')
"""AlphaPose's folder of frames, and the file of all frames that it writes beside it."""

HEAD = 512
"""Bytes that show it."""

DATASETS = ('coco', 'coco_wholebody', 'halpe26', 'halpe')
"""MMPose's data sets with joints of :data:`.LAYOUTS`; others have as many, but at other places."""

BODIES = {'people': 'pose_keypoints_2d', 'bodies': 'joints'}
"""The list of persons in a frame, and the joints of each: OpenPose, and AlphaPose in CMU's form."""

UNTRACKED, NO_TRACK = -1, (0, [0], [[0]])
"""The id of persons who were not tracked: OpenPose's, and AlphaPose's in its different versions."""

MILLIMETERS, MICROSECONDS = 1e3, 1e6


def _openpose_frame(frame: Any) -> list[Person]:
    people = next((name for name in BODIES if name in frame), 'people')
    persons = []
    for i, entry in enumerate(list_of(frame, people)):
        with named(f'person {i}'):
            id = id_of(entry, 'person_id')
            persons.append(triples(entry, BODIES[people], None if id == UNTRACKED else id))
    return persons


def _openpose(frames: Mapping[Any, Any]) -> Recording:
    """The frames of OpenPose, or of AlphaPose in OpenPose's or CMU's form, by name."""
    persons = {}
    for name, number in number_frames(frames).items():
        with named(f'frame {name}'):
            persons[number] = _openpose_frame(frames[name])
    return clip_of_frames(persons)


def _alphapose(content: Any) -> Recording:
    """A list of persons, each with the name of its image and, if it was tracked, a number."""
    images = []
    for i, entry in enumerate(content):
        with named(f'entry {i}, image_id'):
            images.append(field_of(entry, 'image_id'))
            number_frames(images[-1:])
    numbers = number_frames(images)
    is_tracked = any(entry.get('idx') not in (*NO_TRACK, None) for entry in content)
    frames: dict[int, list[Person]] = {number: [] for number in numbers.values()}
    for i, (entry, image) in enumerate(zip(content, images, strict=True)):
        with named(f'entry {i}, image {image}'):
            id = id_of(entry, 'idx') if is_tracked else None
            frames[numbers[image]].append(triples(entry, 'keypoints', id))
    return clip_of_frames(frames)


def _mmpose_results(content: Any) -> Recording:
    """What MMPose's demos save."""
    meta = content.get('meta_info')
    dataset = meta.get('dataset_name') if isinstance(meta, Mapping) else None
    if dataset not in (None, *DATASETS):
        raise UserError(
            f'dataset_name: {shown(dataset)}, expected one of {", ".join(DATASETS)}; '
            'joints of others are read as an array (T, V, 2 or 3) in .npy with --layout'
        )
    return _mmpose(list_of(content, 'instance_info'))


def _mmpose_output(content: Any) -> Recording:
    """What MMPoseInferencer yields: for each batch of frames, the persons of each."""
    batches = [list_of(result, 'predictions') for result in content]
    return _mmpose([{'instances': frame} for batch in batches for frame in batch])


def _mmpose(content: Any) -> Recording:
    """What MMPoseInferencer saves for a video; or OpenPifPaf's persons, with x, y, score of each joint."""

    def read(frame: Any) -> list[Person]:
        return [_mmpose_person(i, one) for i, one in enumerate(list_of(frame, 'instances'))]

    return clip_of_frames(frames_by_number(content, read))


def _mmpose_person(index: int, entry: Any) -> Person:
    if isinstance(entry, Mapping) and 'keypoint_scores' not in entry:
        return triples(entry, 'keypoints')
    with named(f'person {index}, keypoints'):
        joints = json_numbers(_plain(field_of(entry, 'keypoints')), 2)
        if joints.shape[1:] == (3,):
            raise UserError(
                'joints in space; estimate those in the image, or save the joints as an array (T, V, 3) in '
                '.npy, and give --layout'
            )
    with named(f'person {index}, keypoint_scores'):
        scores = json_numbers(_plain(field_of(entry, 'keypoint_scores')), 1)
        return make_person(joints, scores, id_of(entry, 'track_id'))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _azure(content: Any) -> Recording:
    """Azure Kinect's k4abt_offline_processor: millimeters, y down."""

    def read(frame: Any) -> list[Person]:
        return [_azure_body(i, body) for i, body in enumerate(list_of(frame, 'bodies'))]

    frames = list_of(content, 'frames')
    persons = frames_by_number(frames, read)
    times = [(number, frame.get('timestamp_usec')) for number, frame in zip(persons, frames, strict=True)]
    return clip_of_frames(persons, KINECT_AZURE.name, _frame_rate(times))


def _azure_body(index: int, body: Any) -> Person:
    with named(f'body {index}, joint_positions'):
        joints = json_numbers(field_of(body, 'joint_positions'), 2)
        if joints.shape != (KINECT_AZURE.num_joints, 3):
            raise UserError(f'shape {joints.shape}, expected 32 joints of x, y and z')
        return make_person(upright(joints / MILLIMETERS), id=id_of(body, 'body_id'))


def _frame_rate(times: Sequence[tuple[int, Any]]) -> float | None:
    """Frames per second of numbered frames, if all have a time."""
    if len(times) < 2 or not all(type(time) is int and abs(time) < LARGEST_NUMBER for _, time in times):
        return None
    numbers, microseconds = np.diff(np.array(sorted(times), np.float64), axis=0).T
    if (microseconds <= 0).any():
        raise UserError('timestamp_usec: times do not increase')
    return float(MICROSECONDS / np.median(microseconds / numbers))


def _mmaction2(frames: Sequence[Mapping[str, Any]], img_shape: Picture) -> Recording:
    """What MMAction2's ``inference_skeleton`` takes, arranged as there: persons absent from a frame are zero.

    For each frame ``keypoints`` (M, V, 2) in pixels, and ``keypoint_scores`` (M, V), or 1.
    """
    if img_shape is None:
        raise ValueError('img_shape: poses are in pixels, so the height and width of the image are needed')
    try:
        joints = [np.asarray(field_of(frame, 'keypoints'), np.float32) for frame in frames]
    except (TypeError, ValueError) as error:
        raise UserError(f'keypoints: {error}') from None
    shapes = {one.shape[1:] for one in joints if one.size}
    if len(shapes) != 1 or [shape[1:] for shape in shapes] != [(2,)]:
        raise ValueError(f'keypoints: expected (M, V, 2) with one V in all frames, found {sorted(shapes)}')
    keypoint = np.zeros((max(map(len, joints)), len(frames), *shapes.pop()), np.float32)
    keypoint_score = np.zeros(keypoint.shape[:3], np.float32)
    for t, (frame, one) in enumerate(zip(frames, joints, strict=True)):
        score = np.asarray(frame.get('keypoint_scores', np.ones(one.shape[:2])))
        if not one.size:
            continue
        if score.shape != one.shape[:2]:
            raise ValueError(f'keypoint_scores: frame {t} has shape {score.shape}, its keypoints {one.shape}')
        keypoint[: len(one), t], keypoint_score[: len(one), t] = one, score
    return Recording(keypoint=keypoint, keypoint_score=keypoint_score, img_shape=img_shape)


Read = Callable[[Any, Picture], Recording]


class Format(NamedTuple):
    """One way in which estimators save poses.

    Args:
        name: for messages.
        matches: recognizes the contents of a file.
        read: makes a clip of them.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Read


def _has(kind: type, *names: str) -> Callable[[Any], bool]:
    """Recognizes an object with these fields, or a list of such objects."""

    def matches(content: Any) -> bool:
        if not isinstance(content, (list, tuple) if kind is list else Mapping):
            return False
        first = next(iter(content), None) if kind is list else content
        return isinstance(first, Mapping) and set(names) <= set(first)

    return matches


def _is_by_image(content: Any) -> bool:
    first = next(iter(content.values()), None) if isinstance(content, Mapping) else None
    return isinstance(first, Mapping) and 'version' in first and any(name in first for name in BODIES)


FORMATS = (
    Format('OpenPose', _has(dict, 'people'), lambda frame, _: _openpose({0: frame})),
    Format('AlphaPose', _has(list, 'image_id', 'keypoints'), lambda content, _: _alphapose(content)),
    Format('AlphaPose', _is_by_image, lambda content, _: _openpose(content)),
    Format('MMPose', _has(dict, 'instance_info'), lambda content, _: _mmpose_results(content)),
    Format('MMPose', _has(list, 'instances'), lambda content, _: _mmpose(content)),
    Format('MMPose', _has(list, 'predictions'), lambda content, _: _mmpose_output(content)),
    Format('Azure Kinect', _has(dict, 'frames', 'joint_names'), lambda content, _: _azure(content)),
    Format('MediaPipe', mediapipe.is_landmarks, mediapipe.read_landmarks),
    Format('MMAction2', _has(list, 'keypoints'), _mmaction2),
)
"""All that is read, by contents alone."""


def read_content(content: Any, img_shape: Picture = None, others: Sequence[str] = ()) -> Recording:
    """The recording in the contents of a file, or in the same as Python objects.

    Args:
        content: lists, dicts, strings and numbers.
        img_shape: (height, width) of the image, for joints in fractions of it.
        others: names of other formats that the file could have had, for the message.

    Raises:
        UserError: the contents are of none of :data:`FORMATS`, or damaged; the message names the frame, the
            person and the field.
    """
    return _reader_in(FORMATS, content, others)(content, img_shape)


def _reader_in(formats: Sequence[Format], content: Any, others: Sequence[str] = ()) -> Read:
    """What reads these contents, with its name in errors."""
    for one in formats:
        if one.matches(content):
            return named(one.name)(one.read)
    if _has(dict, 'images', 'annotations')(content):
        raise UserError(
            'annotations of a data set of images, as of COCO, which do not tell the frames of a recording; '
            "give the entries of 'annotations' for one recording as a JSON list, image_id being the number "
            'of the frame, or x, y and score as an array (T, V, 3) in .npy with --layout'
        )
    expected = ', '.join(dict.fromkeys([*others, *(one.name for one in formats)]))
    raise UserError(f'found {shown(content)}, expected JSON of {expected}')


def is_content(value: Any) -> bool:
    """True if :func:`read_content` has a format for it."""
    return any(one.matches(value) for one in FORMATS)


def whole(path: Path) -> Path:
    """The recording that a file or folder belongs to: the folder of a frame, otherwise itself.

    AlphaPose writes both one file for all frames and a folder; the former is the recording.
    """
    recording = path.parent if _is_frame(path) else path
    together = recording.parent / ALPHAPOSE[1]
    return together if recording.name == ALPHAPOSE[0] and together.is_file() else recording


def _is_frame(path: Path) -> bool:
    if path.suffix != '.json' or path.name.endswith(FRAME):
        return path.name.endswith(FRAME)
    try:
        with open_regular(path) as file:
            return ONE_FRAME.match(file.read(HEAD)) is not None
    except (OSError, ValueError):
        return False  # the reader says so


def _numbered(frames: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The frames of a recording, by their names, as the entries of one file, with their numbers."""
    return [
        {**(frames[of] if isinstance(frames[of], Mapping) else {name: frames[of]}), NUMBERS[0]: number}
        for of, number in number_frames(frames).items()
    ]


FRAME_FORMATS = (
    Format('OpenPose', _has(dict, 'people'), lambda frames, _: _openpose(frames)),
    Format('AlphaPose', _has(dict, 'bodies'), lambda frames, _: _openpose(frames)),
    Format('MMPose', _has(list, 'keypoints'), lambda frames, _: _mmpose(_numbered(frames, 'instances'))),
    Format(
        'MediaPipe',
        lambda frame: mediapipe.is_landmarks([frame]),
        lambda frames, img_shape: mediapipe.read_landmarks(_numbered(frames, 'landmarks'), img_shape),
    ),
)
"""All that is read in folders: matches one frame, reads all by name."""


def read_frames(folder: Path, img_shape: Picture = None) -> Recording:
    """The recording in a folder that has one file for each frame.

    Args:
        folder: of OpenPose's files, by their names, otherwise of nothing but such JSON.
        img_shape: (height, width) of the image, for joints in fractions of it.

    Raises:
        UserError: there are none, or those of several recordings, or one is damaged.
    """
    listed = sorted(folder.glob('*.json'))
    odd = [file for file in listed if not _is_frame(file)]
    if odd and not any(file.name.endswith(FRAME) for file in listed):
        raise UserError(f'{odd[0].name} is not a single frame, while others are; separate them')
    frames = {}
    for file in [file for file in listed if file not in odd]:
        with named(file.name):
            frames[file.name.removesuffix(FRAME).removesuffix('.json')] = parse_json(read_bytes(file))
    if not frames:
        known = ', '.join(one.name for one in FRAME_FORMATS)
        raise UserError(f'no recording in this folder, expected one file for each frame, of {known}')
    first = next(filter(None, frames.values()), None)
    return _reader_in(FRAME_FORMATS, first)(frames, img_shape)


READERS: dict[str, Read] = {
    FRAME: read_frames,
    NTU_DICT: lambda path, _: read_ntu_dict(path),
    '.json': lambda path, img_shape: read_content(parse_json(read_bytes(path)), img_shape),
}
"""The readers of estimators' files by the ends of their names; the first also reads folders of frames."""


def reader_of(path: Path, readers: Mapping[str, Read]) -> Read:
    """The reader of a file, or of a folder of frames.

    Args:
        path: the file or folder.
        readers: by the ends of names, in upper or lower case.

    Raises:
        UserError: there is none.
    """
    name = FRAME if path.is_dir() else path.name
    for end, reader in readers.items():
        if name.lower().endswith(end.lower()):
            return reader
    if path.suffix.lower() in VIDEOS:
        raise UserError(f'a video: "mmdualhead video {path.name}" finds its persons and labels them')
    raise UserError(f'files of recordings end with {", ".join(readers)}, not with {path.suffix!r}')

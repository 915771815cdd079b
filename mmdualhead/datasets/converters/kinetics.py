"""Kinetics-Skeleton (Yan et al., ST-GCN, AAAI 2018): OpenPose's 18 joints in 2D, with scores.

M persons, T frames, V = 18 joints, C = 3 channels: x, y, score.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.recording import EmptyRecording, Recording
from mmdualhead.errors import UserError
from mmdualhead.utils.reading import parse_json, read_bytes, read_json, shown

from .files import check_folder, check_unique, compare_total
from .raw_dataset import RawDataset, as_float32

CLASSES = CLASS_NAMES['kinetics']

NAME = r'[\w-]+'
NUM_JOINTS = 18
MAX_FRAMES = 300

# Coordinates are fractions of the image's width and height.
MAX_COORDINATE = 2

# No frame of a video of seconds has a larger number.
MAX_INDEX = 1 << 31

# ST-GCN considers the first five persons of a frame and keeps two.
MAX_PERSONS = 5
NUM_PERSONS = 2

PUBLISHED = {'train': 240_436, 'val': 19_796}
"""Clips with a skeleton of each split."""


def scan(src: str | Path) -> RawDataset:
    """Find the clips of ``kinetics_{train,val}_label.json`` in ``kinetics_{train,val}/ID.json``.

    Args:
        src: directory of the two label files and the two directories; one of the splits may be absent.

    Returns:
        The recordings with the splits ``train`` and ``val``, and the excluded clips with the reason.

    Raises:
        FileNotFoundError: no label file, or a label file without its directory.
        UserError: a label file is malformed, or a clip is in both.
    """
    src = check_folder(src)
    tables = {split: path for split in PUBLISHED if (path := src / f'kinetics_{split}_label.json').exists()}
    if not tables:
        raise FileNotFoundError(f'{src}: expected kinetics_train_label.json and kinetics_val_label.json')
    recordings: list[Recording] = []
    left_out: dict[str, str] = {}
    notes: list[str] = []
    names: dict[int, str] = {}
    for split, path in tables.items():
        folder = path.with_name(f'kinetics_{split}')
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder}: no such directory, while {path.name} exists')
        entries = _read_labels(path)
        for clip, (label, name, has_skeleton) in sorted(entries.items()):
            if names.setdefault(label, name) != name:
                raise UserError(f'{path}, clip {clip}: class {label} is {names[label]!r} and {name!r}')
            if has_skeleton:
                recordings.append(Recording(clip, folder / f'{clip}.json', label, splits=(split,)))
            else:
                left_out[clip] = 'no skeleton according to the label file'
        unlabeled = {file.stem for file in folder.glob('*.json')} - set(entries)
        left_out |= dict.fromkeys(sorted(unlabeled), 'not in the label file')
        found = sum(has_skeleton for _, _, has_skeleton in entries.values())
        notes += compare_total(f'{split} of Kinetics-Skeleton', found, PUBLISHED[split])
    check_unique([recording.path for recording in recordings])
    classes = [names.get(label, name) for label, name in enumerate(CLASSES)]
    return RawDataset(
        meta=dict(dataset='kinetics', layout='openpose', classes=classes, normalized=True),
        recordings=recordings,
        read=read_recording,
        left_out=left_out,
        notes=notes,
    )


def _read_labels(path: Path) -> dict[str, tuple[int, str, bool]]:
    """Label, class name and whether there is a skeleton, by clip."""
    entries = read_json(path)
    if not isinstance(entries, dict) or not entries:
        raise UserError(f'{path}: expected {{"ID": {{"has_skeleton", "label", "label_index"}}, ...}}')
    for clip in entries:
        if not re.fullmatch(NAME, clip):  # which becomes the name of a file
            raise UserError(f'{path}: {clip!r} is not the name of a clip')
    return {clip: _read_label(f'{path}, clip {clip}', entry) for clip, entry in entries.items()}


def _read_label(where: str, entry: Any) -> tuple[int, str, bool]:
    fields = {'label_index': int, 'label': str, 'has_skeleton': bool}
    entry = entry if isinstance(entry, dict) else {}
    for field, kind in fields.items():
        if type(entry.get(field)) is not kind:
            raise UserError(f'{where}: {field} is {shown(entry.get(field))}, expected {kind.__name__}')
    if not 0 <= entry['label_index'] < len(CLASSES):
        raise UserError(f'{where}: label_index is {entry["label_index"]}, expected 0..{len(CLASSES) - 1}')
    return tuple(entry[field] for field in fields)


def read_recording(recording: Recording) -> Recording:
    """Read one clip.

    x and y are shifted so that the image center is the origin; joints of score 0 become zero. Of the first
    five persons in a frame the best two are kept, the sum of their scores deciding, frame by frame. Frame 0
    is the first in the file; there are up to 300, and frames without a person stay as zeros, since the video
    continues.

    Args:
        recording: one of :func:`scan`'s.

    Returns:
        The clip, (1 or 2, T, 18, 3).

    Raises:
        UserError: the file is not JSON of this form, or its class differs from that in the label file.
        EmptyRecording: no frame shows a person.
    """
    content = parse_json(read_bytes(recording.path))
    if not isinstance(content, dict) or not isinstance(content.get('data'), list):
        raise UserError("expected an object with the list 'data'")
    label = content.get('label_index')
    if type(label) not in (int, str, type(None)) or label not in ('', None, recording.label):
        raise UserError(f'label_index {shown(label)}, but the label file has {recording.label}')
    frames, persons = parse_persons(content['data'])
    if not len(persons):
        raise EmptyRecording(f'no person in any of {len(content["data"])} frames')
    return replace(recording, keypoint=_arrange(frames, persons))


def parse_persons(data: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The first five persons of every frame.

    Args:
        data: the list of that name in the file.

    Returns:
        (P,) the frame of each of P persons, numbered from the first in the file, and (P, V, 3) x, y, score.

    Raises:
        UserError: a frame is malformed; the message names the frame and the fault.
    """
    indices = [_frame_index(frame, position) for position, frame in enumerate(data)]
    if len(set(indices)) < len(indices):
        raise UserError('a frame_index occurs twice')
    frames, numbers = [], []
    for index, frame in zip(indices, data, strict=True):
        for person in frame['skeleton'][:MAX_PERSONS]:
            frames.append(index)
            numbers += _person_numbers(person, index)
    # All at once; single arrays of 18 numbers would take most of the time.
    if not set(map(type, numbers)) <= {int, float}:
        wrong = next(i for i, number in enumerate(numbers) if type(number) not in (int, float))
        raise UserError(
            f'frame_index {frames[wrong // (3 * NUM_JOINTS)]}: {shown(numbers[wrong])} is not a number'
        )
    try:
        persons = np.array(numbers, dtype=np.float64).reshape(-1, 3 * NUM_JOINTS)
    except OverflowError as error:
        raise UserError(f'a number is too large ({error})') from error
    pose, score = persons[:, : 2 * NUM_JOINTS], persons[:, 2 * NUM_JOINTS :]
    outside = np.argwhere(np.abs(pose) > MAX_COORDINATE)
    if len(outside):
        person, column = outside[0]
        raise UserError(
            f'frame_index {frames[person]}: coordinate {pose[person, column]:g}, expected 0..1, fractions of '
            "the image's width and height; divide pixels by these"
        )
    return np.array(frames, int) - min(indices, default=0), np.dstack([pose[:, ::2], pose[:, 1::2], score])


def _frame_index(frame: Any, position: int) -> int:
    match frame:
        case {'frame_index': index, 'skeleton': list()} if type(index) is int and 0 <= index < MAX_INDEX:
            return index
    raise UserError(f"data[{position}]: expected a 'frame_index' and a list 'skeleton'")


def _person_numbers(person: Any, index: int) -> list[Any]:
    match person:
        case {'pose': list(pose), 'score': list(score)} if len(pose) == 2 * len(score) == 2 * NUM_JOINTS:
            return pose + score
    raise UserError(f"frame_index {index}: expected a 'pose' of 36 and a 'score' of 18 numbers")


def _arrange(frames: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """(1 or 2, T, V, 3) from the persons and their frames, the best first."""
    early = frames < MAX_FRAMES
    frames, persons = frames[early], as_float32(persons[early])
    order = np.lexsort((-persons[..., 2].sum(axis=1), frames))
    frames, persons = frames[order], persons[order]
    rank = np.arange(len(frames)) - np.searchsorted(frames, frames)
    best = rank < NUM_PERSONS

    keypoint = np.zeros((NUM_PERSONS, frames.max(initial=-1) + 1, NUM_JOINTS, 3), np.float32)
    persons[..., :2] -= 0.5
    persons[persons[..., 2] == 0] = 0
    keypoint[rank[best], frames[best]] = persons[best]
    return keypoint if keypoint[1].any() else keypoint[:1]

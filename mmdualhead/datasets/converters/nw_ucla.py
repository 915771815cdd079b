"""NW-UCLA (Wang et al., CVPR 2014): 10 actions, 10 subjects, 3 views, Kinect v1 skeletons in JSON files.

M persons, T frames, V = 20 joints, C = 3 channels.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.utils.reading import json_numbers, parse_json, read_bytes, shown

from .files import compare_total, find_files
from .raw_dataset import RawDataset, as_float32, drop_lost_frames

CLASSES = CLASS_NAMES['nw_ucla']
# The label, 0-based, of each action number in the names of the files; the numbers have gaps.
LABELS = {action: label for label, action in enumerate((1, 2, 3, 4, 5, 6, 8, 9, 11, 12))}
NAME = r'(a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d))'
NUMBERS = dict(action=LABELS, subject=range(1, 11), repetition=range(100), view=range(1, 4))
PUBLISHED = 1484
SPLITS = {1: 'xview_train', 2: 'xview_train', 3: 'xview_val'}
NUM_JOINTS = 20


def scan(src: str | Path) -> RawDataset:
    """Find the files; views 1 and 2 train, view 3 tests (1,020 and 464 clips).

    Args:
        src: directory with ``aAA_sSS_eEE_vVV.json`` somewhere below it.

    Returns:
        The recordings, with the splits ``xview_train`` and ``xview_val``.

    Raises:
        FileNotFoundError: there are none.
        UserError: a name is given twice, or a number in it is not in the data set.
    """
    found, notes = find_files(src, rf'{NAME}\.json', NUMBERS)
    recordings = [
        Recording(name, path, LABELS[int(action)], subject, (SPLITS[int(view)],))
        for path, (name, action, subject, _, view) in found
    ]
    return RawDataset(
        meta=dict(dataset='nw_ucla', layout='kinect_v1', classes=list(CLASSES)),
        recordings=recordings,
        read=read_recording,
        notes=[*notes, *compare_total('NW-UCLA', len(found), PUBLISHED)],
    )


def read_recording(recording: Recording) -> Recording:
    """Read one file: ``file_name``, ``label`` (1..10) and ``skeletons`` (T, 20, 3) in the order of kinect_v1.

    The action numbers in the names have gaps and map to the labels one to one.

    Args:
        recording: one of :func:`scan`'s.

    Returns:
        The clip, (1, T, 20, 3); frames that are all zero are dropped.

    Raises:
        UserError: the file is not JSON of this form, or belongs to another clip.
    """
    content = parse_json(read_bytes(recording.path))
    content = content if isinstance(content, dict) else {}
    if content.get('file_name') != recording.name:
        raise UserError(f'file_name is {shown(content.get("file_name"))}, expected {recording.name!r}')
    label = content.get('label')
    if type(label) is not int or not 1 <= label <= len(CLASSES):
        raise UserError(f'label is {shown(label)}, expected 1..{len(CLASSES)}')
    named = re.fullmatch(NAME, recording.name)
    if named and LABELS.get(int(named[2])) != label - 1:
        raise UserError(f'label is {label}, but the name has action {named[2]}, which has another label')
    keypoint, counts = drop_lost_frames(as_float32(_parse_joints(content.get('skeletons')))[None])
    return replace(recording, keypoint=keypoint, label=label - 1, counts=counts)


def _parse_joints(skeletons: Any) -> np.ndarray:
    try:
        joints = json_numbers(skeletons, 3)
    except ValueError as error:
        raise UserError(f'skeletons: {error}') from error
    if joints.shape[1:] != (NUM_JOINTS, 3):
        raise UserError(f'skeletons: expected numbers (T, {NUM_JOINTS}, 3), found {joints.shape}')
    return joints

"""MSR-Action3D (Li, Zhang, Liu, CVPR workshops 2010): 20 actions, 10 subjects, Kinect v1 skeletons.

M persons, T frames, V = 20 joints, C = 3 channels.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.utils.reading import decode_text, is_number, parse_numbers, read_bytes, split_lines

from .files import compare_total, find_files
from .raw_dataset import RawDataset, as_float32, drop_lost_frames

CLASSES = CLASS_NAMES['msr_action3d']
NUMBERS = dict(action=range(1, 21), subject=range(1, 11), trial=range(1, 4))
PUBLISHED = 567
NUM_JOINTS = 20
ROW_FIELDS = 4

# The three groups of actions (1-based) that are commonly also trained and tested on separately.
ACTION_SETS = {
    'as1': (2, 3, 5, 6, 10, 13, 18, 20),
    'as2': (1, 4, 7, 8, 9, 11, 12, 14),
    'as3': (6, 14, 15, 16, 17, 18, 19, 20),
}

# Missing or wrong skeletons that papers exclude, so that 557 clips of 567 remain.
NOISY = frozenset(
    (
        *('a07_s04_e01', 'a13_s02_e02', 'a13_s06_e01', 'a13_s06_e02', 'a13_s09_e02'),
        *('a20_s02_e01', 'a20_s02_e02', 'a20_s02_e03', 'a20_s06_e01', 'a20_s08_e02'),
    )
)

# For each joint of kinect_v1 its row in a frame of the files, 0-based.
ROWS = (6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18)


def scan(src: str | Path, leave_out: frozenset[str] = NOISY) -> RawDataset:
    """Find the files; odd subjects train, even ones test.

    Args:
        src: directory with ``aAA_sSS_eEE_skeleton3D.txt`` somewhere below it.
        leave_out: clips not to convert.

    Returns:
        The recordings with the splits ``xsub_train`` and ``xsub_val``, and the same within each of the three
        action sets (``as1_xsub_train``, ...); labels are 0..19 there as well.

    Raises:
        FileNotFoundError: there are none.
        UserError: a name is given twice, or a number in it is not in the data set.
    """
    found, notes = find_files(src, r'(a(\d\d)_s(\d\d)_e(\d\d))_skeleton3D\.txt', NUMBERS)
    recordings = [
        Recording(name, path, int(action) - 1, subject, _splits(int(action), int(subject)))
        for path, (name, action, subject, _) in found
    ]
    noisy = [recording.name for recording in recordings if recording.name in leave_out]
    return RawDataset(
        meta=dict(dataset='msr_action3d', layout='kinect_v1', classes=list(CLASSES)),
        recordings=[recording for recording in recordings if recording.name not in leave_out],
        read=read_recording,
        left_out=dict.fromkeys(noisy, 'missing or wrong skeletons, as papers say'),
        notes=[*notes, *compare_total('MSR-Action3D', len(found), PUBLISHED)],
    )


def _splits(action: int, subject: int) -> tuple[str, ...]:
    sets = [f'{name}_' for name, actions in ACTION_SETS.items() if action in actions]
    return tuple(f'{prefix}xsub_{"train" if subject % 2 else "val"}' for prefix in ('', *sets))


def read_recording(recording: Recording) -> Recording:
    """Read one file: 20 rows of x, y, z and confidence per frame, put into the order of kinect_v1.

    Args:
        recording: one of :func:`scan`'s.

    Returns:
        The clip, (1, T, 20, 3); frames that are all zero, in which the person was lost, are dropped.

    Raises:
        UserError: there are no rows, a row is not four numbers, or the last frame does not have 20 rows.
    """
    lines = split_lines(decode_text(read_bytes(recording.path)))
    rows = [row for line in lines if (row := line.encode().split())]
    if not rows:
        raise UserError('the file is empty')
    numbers = as_float32(_parse_rows(rows))
    if len(rows) % NUM_JOINTS:
        raise UserError(f'{len(rows)} rows, expected {NUM_JOINTS} for each frame')
    keypoint, counts = drop_lost_frames(numbers.reshape(1, -1, NUM_JOINTS, ROW_FIELDS)[:, :, ROWS, :3])
    return replace(recording, keypoint=keypoint, counts=counts)


def _parse_rows(rows: list[list[bytes]]) -> np.ndarray:
    widths = list(map(len, rows))
    if set(widths) != {ROW_FIELDS}:
        odd = next(i for i, width in enumerate(widths) if width != ROW_FIELDS)
        raise UserError(f'row {odd}: {widths[odd]} numbers, expected {ROW_FIELDS}')
    try:
        return np.array(parse_numbers(chain.from_iterable(rows)))
    except ValueError as error:
        odd = next(i for i, row in enumerate(rows) if not all(map(is_number, row)))
        raise UserError(f'frame {odd // NUM_JOINTS}, row {odd}: {error}') from error

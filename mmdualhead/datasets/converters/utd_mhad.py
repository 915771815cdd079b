"""UTD-MHAD: 27 actions, 8 subjects, Kinect v1 skeletons in Matlab files (Chen et al., ICIP 2015).

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.utils.reading import read_bytes

from .files import compare_total, find_files
from .mat_file import read_array
from .raw_dataset import RawDataset, as_float32

CLASSES = CLASS_NAMES['utd_mhad']
NUMBERS = dict(action=range(1, 28), subject=range(1, 9), trial=range(1, 5))
PUBLISHED = 861

# For each joint of kinect_v1 its row in the files, which begin with head, shoulder center, spine, hip center.
ROWS = (3, 2, 1, 0, *range(4, 20))


def scan(src: str | Path) -> RawDataset:
    """Find the skeleton files; odd subjects train, even ones test (431 and 430 clips).

    Args:
        src: directory with ``aA_sS_tT_skeleton.mat`` somewhere below it.

    Returns:
        The recordings, with the splits ``xsub_train`` and ``xsub_val``.

    Raises:
        FileNotFoundError: there are none.
        UserError: a name is given twice, or a number in it is not in the data set.
    """
    found, notes = find_files(src, r'(a(\d+)_s(\d+)_t(\d+))_skeleton\.mat', NUMBERS)
    recordings = [
        Recording(name, path, int(action) - 1, subject, ('xsub_train' if int(subject) % 2 else 'xsub_val',))
        for path, (name, action, subject, _) in found
    ]
    return RawDataset(
        meta=dict(dataset='utd_mhad', layout='kinect_v1', classes=list(CLASSES)),
        recordings=recordings,
        read=read_recording,
        notes=[*notes, *compare_total('UTD-MHAD', len(found), PUBLISHED)],
    )


def read_recording(recording: Recording) -> Recording:
    """Read one file: ``d_skel``, (V, C, T) in meters, its rows put into the order of kinect_v1.

    Args:
        recording: one of :func:`scan`'s.

    Returns:
        The clip, (1, T, 20, 3).

    Raises:
        UserError: not a Matlab file, or ``d_skel`` is missing or has the wrong shape.
    """
    rows = read_array(read_bytes(recording.path), 'd_skel')
    if rows.ndim != 3 or rows.shape[:2] != (20, 3):
        raise UserError(f"expected 'd_skel' of shape (20, 3, T), found {rows.shape}")
    return replace(recording, keypoint=as_float32(rows.transpose(2, 0, 1)[None, :, ROWS]))

"""NTU RGB+D 60 and 120 (Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019), Kinect v2 skeletons.

M persons, T frames, V = 25 joints, C = 3 channels.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.recording import EmptyRecording, Recording
from mmdualhead.errors import UserError
from mmdualhead.utils.reading import decode_text, read_bytes, read_text, shown, split_lines

from .files import compare_total, find_files
from .ntu_file import parse_skeleton
from .ntu_persons import join_tracks, select_persons
from .raw_dataset import LOST_FRAMES, RawDataset

NAME = r'S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})'
NUMBERS = {
    **{'set-up': range(1, 33), 'camera': range(1, 4), 'subject': range(1, 107)},
    **{'replication': range(1, 3), 'action': range(1, 121)},
}
"""The numbers in a file name and their ranges in NTU RGB+D 120."""

XSUB60 = frozenset((1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38))
XSUB120 = XSUB60 | {
    *(45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87)),
    *(89, *range(91, 96), 97, 98, 100, 103),
}


class Protocol(NamedTuple):
    """The clips of a data set, and which of them are for training.

    Args:
        setups: number of set-ups.
        subjects: number of performers.
        actions: number of classes.
        train_subjects: training subjects of the cross-subject protocol.
        other: the second protocol, ``xview`` (cameras 2 and 3 train) or ``xset`` (even set-ups train).
        published: number of clips, including those in the list of missing skeletons.
    """

    setups: int
    subjects: int
    actions: int
    train_subjects: frozenset[int]
    other: str
    published: int


PROTOCOLS = {
    60: Protocol(17, 40, 60, XSUB60, 'xview', 56_880),
    120: Protocol(32, 106, 120, XSUB120, 'xset', 114_480),
}


def scan(src: str | Path, dataset: int = 60, missing: str | Path | None = None) -> RawDataset:
    """Find the ``.skeleton`` files of NTU RGB+D 60 or 120.

    Args:
        src: directory with the files somewhere below it; for 60 it may also contain those of 120.
        dataset: 60 (splits xsub and xview) or 120 (xsub and xset), each ``_train`` and ``_val``.
        missing: the published list of clips with missing skeletons, which are excluded.

    Returns:
        The recordings, and the excluded clips with the reason.

    Raises:
        FileNotFoundError: there are no such files, or no such list.
        UserError: a name is given twice, a number in it is not in NTU RGB+D 120, or the list names no
            clips.
    """
    protocol = PROTOCOLS[dataset]
    listed = frozenset() if missing is None else _read_missing(missing)
    recordings, left_out, others = [], {}, 0
    found, notes = find_files(src, rf'({NAME})\.skeleton', NUMBERS)
    for path, (name, *numbers) in found:
        setup, camera, subject, _, action = map(int, numbers)
        if setup > protocol.setups or subject > protocol.subjects or action > protocol.actions:
            left_out[name] = f'not part of NTU RGB+D {dataset}'
            others += 1
        elif name in listed:
            left_out[name] = 'in the list of missing skeletons'
        else:
            trains = {
                'xsub': subject in protocol.train_subjects,
                protocol.other: camera in (2, 3) if protocol.other == 'xview' else setup % 2 == 0,
            }
            splits = tuple(f'{split}_{"train" if train else "val"}' for split, train in trains.items())
            recordings.append(Recording(name, path, action - 1, str(subject), splits))
    return RawDataset(
        meta=dict(dataset=f'ntu{dataset}', layout='nturgb+d', classes=list(CLASS_NAMES[f'ntu{dataset}'])),
        recordings=recordings,
        read=read_recording,
        left_out=left_out,
        notes=[*notes, *compare_total(f'NTU RGB+D {dataset}', len(found) - others, protocol.published)],
    )


def _read_missing(path: str | Path) -> frozenset[str]:
    """The clip names in a published list, below its introductory text."""
    names: set[str] = set()
    for number, line in enumerate(split_lines(read_text(path)), 1):
        name = line.strip().removesuffix('.skeleton')
        if re.fullmatch(NAME, name, re.ASCII):
            names.add(name)
        elif name and names:
            raise UserError(f'{path}, line {number}: {shown(name)} is not the name of a clip')
    if not names:
        raise UserError(f'{path}: no clip names (such as S001C002P005R002A008) in this list')
    return frozenset(names)


def read_recording(recording: Recording) -> Recording:
    """Read one file and choose the performers among the tracks.

    Args:
        recording: one of :func:`scan`'s.

    Returns:
        The clip, (1 or 2, T, 25, 3), meters; frames without a performer are dropped.

    Raises:
        UserError: the file is malformed.
        EmptyRecording: no person was tracked.
    """
    num_frames, tracks = parse_skeleton(decode_text(read_bytes(recording.path)).encode())
    if not any(track.joints.any() for track in tracks):
        raise EmptyRecording(f'no person in any of {num_frames} frames')
    joined = join_tracks(tracks)
    keypoint = select_persons(joined)
    used = {frame for track in tracks for frame in track.frames[track.joints.any(axis=(1, 2))]}
    return replace(
        recording,
        keypoint=keypoint,
        counts={
            LOST_FRAMES: num_frames - len(used),
            'frames without a performer dropped': len(used) - keypoint.shape[1],
            'tracks of one person whose number changed joined': len(tracks) - len(joined),
        },
    )

"""Read one recording: an array, an annotation, the poses of a video, or a file in a known format.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmdualhead.datasets.annotations.clip_files import SUFFIX as STORE
from mmdualhead.datasets.annotations.clips import is_integer
from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.converters import custom, kinetics, msr_action3d, ntu, nw_ucla, utd_mhad
from mmdualhead.datasets.poses.arrays import NTU_DICT, read_ntu_dict
from mmdualhead.datasets.poses.files import Read, read_content, reader_of, whole
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import SMPL_22
from mmdualhead.utils.reading import parse_json, read_bytes, shown


def read_annotation(
    clip: Mapping[str, Any], layout: Any = None, normalized: bool = False, classes: tuple[str, ...] = ()
) -> Recording:
    """A clip of an annotation file.

    Args:
        clip: ``keypoint`` and, if known, ``keypoint_score``, ``img_shape`` and ``label``.
        layout: name or definition of the layout, if the file has it.
        normalized: it is already normalized.
        classes: the names of the classes in the file, if it has them.
    """
    return Recording(
        keypoint=clip['keypoint'],
        keypoint_score=clip.get('keypoint_score'),
        img_shape=clip.get('img_shape'),
        label=int(clip['label']) if is_integer(clip.get('label')) else None,  # an answer is compared with one
        layout=layout,
        classes=classes,
        annotated=True,
        normalized=normalized,
    )


def read_file(path: str | Path, img_shape: tuple[int, int] | None = None) -> Recording:
    """The joints in a file, by one of :data:`READERS`, or in the folder of frames that it is one of.

    Args:
        path: the file or folder.
        img_shape: (height, width) of the image, for joints in fractions of it.

    Raises:
        OSError: it cannot be read.
        ValueError: it has another format or is malformed.
    """
    path = whole(Path(path))
    return reader_of(path, READERS)(path, img_shape)


HUMANML3D = 'new_joints'
"""The folder of HumanML3D's joints, 20 frames per second; otherwise they are an array like others."""


def _read_raw(
    read: Callable[[Recording], Recording], layout: str, dataset: str, action: str, path: Path, *_: Any
) -> Recording:
    """A file of a known data set; ``action`` finds the number of its class in its name, from 1."""
    named, classes = re.match(action, path.name), CLASS_NAMES[dataset]
    found = read(Recording(path.name.split('.')[0], path, int(named[1]) - 1 if named else None))
    label = classes[found.label] if found.label is not None and 0 <= found.label < len(classes) else None
    return replace(found, layout=layout, label=label)


def _read_json(path: Path, img_shape: tuple[int, int] | None) -> Recording:
    """NW-UCLA has ``skeletons``, Kinetics-Skeleton ``data``; others are estimators'."""
    content = parse_json(read_bytes(path))
    keys = set(content) if isinstance(content, dict) else set()
    if 'skeletons' in keys:
        action = r'a(\d\d)_s\d\d_e\d\d_v\d\d'
        return _read_raw(nw_ucla.read_recording, 'kinect_v1', 'nw_ucla', action, path)
    if 'data' not in keys:
        return read_content(content, img_shape, ('NW-UCLA', 'Kinetics-Skeleton'))
    index = content.get('label_index')
    found = kinetics.read_recording(Recording(path.stem, path, index if type(index) is int else None))
    label = content.get('label') or None
    if type(label) not in (str, type(None)):
        raise UserError(f'label is {shown(label)}, expected a name')
    return replace(found, layout='openpose', label=label, normalized=True)  # as the converter does


def _read_numpy(path: Path, img_shape: tuple[int, int] | None) -> Recording:
    """A user's array, or one of HumanML3D."""
    found = custom.READERS['.npy'](path, img_shape)
    if path.parent.name == HUMANML3D and found.keypoint.shape[2:] == (SMPL_22.num_joints, 3):
        return replace(found, layout=SMPL_22.name, frame_rate=20.0)
    return found


NTU = ('nturgb+d', 'ntu120', r'S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})')

READERS: dict[str, Read] = {
    **custom.READERS,
    '.npy': _read_numpy,
    '.json': _read_json,
    '.skeleton': partial(_read_raw, ntu.read_recording, *NTU),
    NTU_DICT: partial(_read_raw, lambda file: replace(read_ntu_dict(file.path), label=file.label), *NTU),
    '.mat': partial(_read_raw, utd_mhad.read_recording, 'kinect_v1', 'utd_mhad', r'a(\d+)_s\d+_t\d+'),
    '_skeleton3D.txt': partial(
        _read_raw, msr_action3d.read_recording, 'kinect_v1', 'msr_action3d', r'a(\d+)_s\d+_e\d+'
    ),
}
"""The reader of one recording, by file suffix."""

ANNOTATIONS = ('.pkl', '.pickle', STORE)
"""Suffixes of files with many recordings."""

SUFFIXES = (*READERS, *ANNOTATIONS)

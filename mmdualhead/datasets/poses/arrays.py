"""The arrays of whole data sets that the field passes on, and NTU RGB+D's clips as dicts.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.poses.frames import clip_of_frames, field_of, named
from mmdualhead.datasets.poses.persons import Person
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import NTU
from mmdualhead.utils.arrays import map_array
from mmdualhead.utils.pickles import load_annotations, load_saved_dict
from mmdualhead.utils.reading import open_regular, shown

PARTS = re.compile(r'(.*?)_data(_joint)?\.npy')
"""ST-GCN's and 2s-AGCN's arrays, with ``..._label.pkl`` beside; those of bones and motions are not joints."""

CLIP = re.compile(r'S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})')
NTU_DICT = '.skeleton.npy'
"""The end of the names of txt2npy's files."""

BODIES = 2
"""Persons in an array of NTU RGB+D, whose last axis has M * V * C numbers."""


def clips_in(path: Path) -> Iterator[Recording] | None:
    """The clips of a whole data set, which stay in the file until they are read.

    * ``NTU60_CS.npz`` and the like, of CTR-GCN: ``x_train`` (N, T, M * V * C), ``y_train`` (N, classes) with
      a one for the class, ``x_test`` and ``y_test``;
    * ``NAME_data.npy`` or ``NAME_data_joint.npy``, of ST-GCN and 2s-AGCN: (N, C, T, V, M), with the names and
      labels in ``NAME_label.pkl``.

    Args:
        path: a file.

    Returns:
        The clips; None if the file is not of such a kind.

    Raises:
        UserError: it is, but damaged.
    """
    if path.suffix == '.npz':
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                members = {member.filename.removesuffix('.npy'): member for member in archive.infolist()}
        except zipfile.BadZipFile:
            return None  # the reader of single clips says so
        splits = [name[2:] for name in members if name.startswith('x_') and f'y_{name[2:]}' in members]
        return _ntu_clips(path, members, splits) if splits else None
    match = PARTS.fullmatch(path.name)
    if match is None:
        return None
    data = map_array(path)
    return _listed_clips(path, path.with_name(f'{match[1]}_label.pkl'), data) if data.ndim == 5 else None


def _ntu_clips(path: Path, members: dict[str, zipfile.ZipInfo], splits: list[str]) -> Iterator[Recording]:
    for split in splits:
        x, y = (_member(path, members[f'{name}_{split}']) for name in 'xy')
        width = BODIES * NTU.num_joints * 3
        if x.ndim != 3 or x.shape[2] != width or y.ndim != 2 or len(x) != len(y):
            raise UserError(f'x_{split} and y_{split} have shapes {x.shape} and {y.shape}')
        if not (np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all()):
            raise UserError(f'y_{split}: expected a single 1 for the class of each clip')
        for i, label in enumerate(y.argmax(1)):
            load = partial(_read_ntu, x, i, _class_name(int(label)))
            yield Recording(f'{split}_{i}', path, splits=(split,), load=load)


def _read_ntu(x: np.ndarray, i: int, label: str | None) -> Recording:
    joints = np.asarray(x[i]).reshape(len(x[i]), BODIES, NTU.num_joints, 3).swapaxes(0, 1)
    return Recording(label=label, keypoint=_without_padding(joints), layout=NTU.name)


def _listed_clips(path: Path, labels: Path, data: np.ndarray) -> Iterator[Recording]:
    with named(labels):
        if not labels.exists():
            raise UserError('no such file; it has the names and the labels of the clips')
        content = load_annotations(labels)
        if not isinstance(content, list | tuple) or [len(part) for part in content[:2]] != [len(data)] * 2:
            raise UserError(f'expected {len(data)} names and as many labels, found {shown(content)}')
    for i, (name, label) in enumerate(zip(*content[:2], strict=True)):
        match = CLIP.match(str(name))
        is_ntu = match is not None and data.shape[3] == NTU.num_joints
        known = _class_name(int(match[1]) - 1) if match else int(label)
        load = partial(_read_listed, data, i, known, NTU.name if is_ntu else None)
        yield Recording(str(name).removesuffix('.skeleton'), path, load=load)


def _read_listed(data: np.ndarray, i: int, label: str | int | None, layout: str | None) -> Recording:
    joints = np.asarray(data[i]).transpose(3, 1, 2, 0)
    return Recording(label=label, keypoint=_without_padding(joints), layout=layout)


def _class_name(label: int) -> str | None:
    names = CLASS_NAMES['ntu120']
    return names[label] if 0 <= label < len(names) else None


def _without_padding(joints: np.ndarray) -> np.ndarray:
    """Joints (M, T, V, C) without the frames at the end that are zero, and persons who are."""
    frames = np.flatnonzero(joints.any((0, 2, 3)))
    joints = joints[:, : frames[-1] + 1 if len(frames) else 0]
    persons = joints.any((1, 2, 3))
    return np.ascontiguousarray(joints[persons], np.float32)


def _member(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """An array in an archive, left on disk."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise UserError(f'{member.filename} is compressed; save the arrays by numpy.savez')
    with open_regular(path) as file:
        file.seek(member.header_offset + 26)
        name, extra = np.frombuffer(file.read(4), '<u2')
    start = member.header_offset + 30 + int(name) + int(extra)
    return map_array(path, start, start + member.file_size)


def read_ntu_dict(path: Path) -> Recording:
    """A clip of NTU RGB+D in a dict, as txt2npy saves it: ``skel_body0`` (T, V, C), ``skel_body1``, ...

    Bodies are listed anew in each frame, so they are tracked.

    Raises:
        UserError: it is not such a dict, or contradicts itself.
    """
    content = load_saved_dict(path)
    field_of(content, 'skel_body0')
    bodies = [np.asarray(content[key]) for key in sorted(content) if str(key).startswith('skel_body')]
    shapes = {body.shape for body in bodies}
    if len(shapes) > 1 or bodies[0].shape[1:] != (NTU.num_joints, 3):
        raise UserError(f'skel_body0 and others have shapes {sorted(shapes)}, expected (T, 25, 3)')
    if not all(np.isfinite(body).all() for body in bodies):
        raise UserError('skel_body0 and others contain numbers that are not finite')
    frames = {t: [Person(body[t]) for body in bodies if body[t].any()] for t in range(len(bodies[0]))}
    return clip_of_frames(frames, NTU.name)

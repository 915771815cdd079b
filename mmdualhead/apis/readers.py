"""Read one recording: an array, an annotation, the poses of a video, or a file in a known format.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.converters import custom, kinetics, msr_action3d, ntu, nw_ucla, utd_mhad
from mmdualhead.datasets.converters.recording import Clip
from mmdualhead.datasets.converters.recording import Recording as RawFile
from mmdualhead.datasets.poses.arrays import NTU_DICT, read_ntu_dict
from mmdualhead.datasets.poses.files import FORMATS, FRAME, read_content, unknown
from mmdualhead.errors import UserError
from mmdualhead.skeletons import SMPL_22
from mmdualhead.utils.reading import parse_json, read_bytes, shown
from mmdualhead.utils.text import name_of, with_name


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording, read or to be read.

    Args:
        name: its name in predictions.
        keypoint: (M, T, V, C), or (T, V, C); None until it is read.
        source: the file it is in.
        keypoint_score: (M, T, V) confidences, if they are separate.
        img_shape: (height, width) of the image that 2D joints refer to, in pixels.
        layout: name or definition of its layout; None if unknown.
        ids: of the M persons, in the estimator's or a tracker's numbers; None if it does not tell them.
        frame_rate: frames per second, if it is known.
        label: the true class, as a name or, in an annotation file, as an index.
        classes: the names of the classes in the annotation file, if it has them.
        annotated: it comes from an annotation file, which defines the network's input.
        normalized: it is already normalized.
        regroup: it comes from a table that does not tell whether a joint has 2 or 3 columns: ``keypoint`` may
            have another V and C of the same product.
        numbers: of its frames in the video that they are from, if they are known.
        notes: caveats about its prediction.
        persons: the ids of the one or two persons that it was reduced to; None if it has all.
        first_frame: the frame at which these begin, in the complete recording.
        load: reads it; raises a ValueError or an OSError whose message does not name the file.
    """

    name: str
    keypoint: Any = None
    source: Path | None = None
    keypoint_score: np.ndarray | None = None
    img_shape: tuple[int, int] | None = None
    layout: Any = None
    ids: tuple[Hashable, ...] | None = None
    frame_rate: float | None = None
    label: str | int | None = None
    classes: tuple[str, ...] = ()
    annotated: bool = False
    normalized: bool = False
    regroup: bool = False
    numbers: range | None = None
    notes: tuple[str, ...] = ()
    persons: tuple[Hashable, ...] | None = None
    first_frame: int = 0
    load: Callable[[], Recording] | None = None

    @property
    def where(self) -> str:
        """Its name in messages."""
        person = f', person {name_of(self.persons)}' if self.persons else ''
        if self.source is None:
            return self.name + person
        is_one_of_many = self.name not in (self.source.stem, self.source.name)
        clip = f', clip {self.name}' if self.annotated or is_one_of_many else ''
        return f'{self.source}{clip}{person}'

    def read(self) -> Recording:
        """The recording with its joints.

        Raises:
            OSError: it cannot be read.
            ValueError: it is missing or malformed; names it.
        """
        try:
            return self if self.load is None else self.load()
        except ValueError as error:
            raise UserError(with_name(self.where, str(error))) from error

    def frames(self, frame_rate: float | None = None) -> Iterator[tuple[float, dict[Hashable, np.ndarray]]]:
        """The time of each frame and the joints of the persons in sight by id, as a stream takes them.

        Args:
            frame_rate: frames per second, if the recording does not have it.

        Raises:
            UserError: it is not known.
        """
        rate = self.frame_rate or frame_rate
        if not rate:
            raise UserError(f'{self.where}: frame_rate: it is not in the recording; give it')
        joints = np.asarray(self.keypoint)
        joints = joints[None] if joints.ndim == 3 else joints
        present = np.asarray(joints.any((2, 3)))
        if self.keypoint_score is not None and joints.shape[-1] == 2:
            joints = np.concatenate([joints, self.keypoint_score[..., None]], -1)
        ids = range(len(joints)) if self.ids is None else self.ids
        for t in range(joints.shape[1]):
            yield t / rate, {ids[m]: joints[m, t] for m in np.flatnonzero(present[:, t])}


def read_annotation(clip: Mapping[str, Any], **known: Any) -> Recording:
    """A clip of an annotation file.

    Args:
        clip: ``keypoint`` and, if known, ``keypoint_score``, ``img_shape`` and ``label``.
        **known: other fields of the recording.
    """
    label, shape = clip.get('label'), clip.get('img_shape')
    return Recording(
        keypoint=clip['keypoint'],
        keypoint_score=clip.get('keypoint_score'),
        img_shape=None if shape is None else tuple(shape),
        label=None if label is None else int(label),
        annotated=True,
        **known,
    )


def read_poses(
    frames: Sequence[Mapping[str, Any]], name: str, img_shape: tuple[int, int] | None
) -> Recording:
    """The poses of a video, arranged as MMAction2's ``inference_skeleton`` does.

    Args:
        frames: for each, ``keypoints`` (M, V, 2) in pixels and ``keypoint_scores`` (M, V), or 1; persons
            absent from a frame are zero.
        name: its name.
        img_shape: (height, width) of the images.

    Raises:
        ValueError: there is no ``img_shape``, or an array has another shape.
    """
    if img_shape is None:
        raise ValueError('img_shape: poses are in pixels, so the height and width of the image are needed')
    joints = [np.asarray(frame['keypoints'], np.float32) for frame in frames]
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
    return Recording(name=name, keypoint=keypoint, keypoint_score=keypoint_score, img_shape=img_shape)


def read_clip(name: str, clip: Clip, **known: Any) -> Recording:
    """A clip that a reader of :mod:`mmdualhead.datasets` returned.

    Args:
        name: its name.
        clip: the clip.
        **known: other fields of the recording.
    """
    fields = {key: value for key, value in clip._asdict().items() if key not in ('label', 'counts')}
    return Recording(**{**fields, **known}, name=name)


def read_objects(content: Any, name: str, img_shape: tuple[int, int] | None) -> Recording:
    """What an estimator returned or saved, as Python objects; see :func:`.read_content`.

    Raises:
        UserError: it is of no known estimator, or malformed.
    """
    clip = read_content(content, img_shape)
    if clip is None:
        raise UserError('not the output of a known estimator')
    return read_clip(name, clip)


def read_file(path: str | Path, img_shape: tuple[int, int] | None = None) -> Recording:
    """One recording from a file, by one of :data:`READERS`, or from a folder of frames.

    Args:
        path: the file or folder.
        img_shape: (height, width) of the image, for joints in fractions of it.

    Raises:
        OSError: it cannot be read.
        ValueError: it has another format or is malformed.
    """
    path = Path(path)
    name = FRAME if path.is_dir() else path.name
    reader = next((reader for end, reader in READERS.items() if name.endswith(end)), None)
    if reader is None:
        raise ValueError(f'files of recordings end with {", ".join(SUFFIXES)}, not with {path.suffix!r}')
    return replace(reader(path, img_shape), source=path)


HUMANML3D = 'new_joints'
"""The folder of HumanML3D's joints, 20 frames per second; otherwise they are an array like others."""


def _read_raw(
    read: Callable[[RawFile], Clip], layout: str, dataset: str, action: str, path: Path, *_: Any
) -> Recording:
    """A file of a known data set; ``action`` finds the number of its class in its name, from 1."""
    named, classes = re.match(action, path.name), CLASS_NAMES[dataset]
    clip = read(RawFile(path.name.split('.')[0], path, int(named[1]) - 1 if named else None))
    label = classes[clip.label] if clip.label is not None and 0 <= clip.label < len(classes) else None
    return read_clip(path.stem, clip, layout=layout, label=label)


def _read_json(path: Path, img_shape: tuple[int, int] | None) -> Recording:
    """NW-UCLA has ``skeletons``, Kinetics-Skeleton ``data``; others are estimators'."""
    content = parse_json(read_bytes(path))
    keys = set(content) if isinstance(content, dict) else set()
    if 'skeletons' in keys:
        action = r'a(\d\d)_s\d\d_e\d\d_v\d\d'
        return _read_raw(nw_ucla.read_recording, 'kinect_v1', 'nw_ucla', action, path)
    if 'data' not in keys:
        estimated = read_content(content, img_shape)
        if estimated is not None:
            return read_clip(path.stem, estimated)
        names = [one.name for one in FORMATS]
        raise UserError(unknown(content, 'NW-UCLA', 'Kinetics-Skeleton', *names))
    index = content.get('label_index')
    clip = kinetics.read_recording(RawFile(path.stem, path, index if type(index) is int else None))
    # The converter already normalizes.
    label = content.get('label') or None
    if type(label) not in (str, type(None)):
        raise UserError(f'label is {shown(label)}, expected a name')
    return Recording(name=path.stem, keypoint=clip.keypoint, layout='openpose', label=label, normalized=True)


def _read_own(path: Path, img_shape: tuple[int, int] | None) -> Recording:
    """A user's array, table or folder of frames, or an array of HumanML3D."""
    known = {}
    clip = custom.read_own(path, img_shape)
    if path.parent.name == HUMANML3D and clip.keypoint.shape[2:] == (SMPL_22.num_joints, 3):
        known = dict(layout=SMPL_22.name, frame_rate=20.0)
    return read_clip(path.name if path.is_dir() else path.stem, clip, **known)


NTU = ('nturgb+d', 'ntu120', r'S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})')

READERS: dict[str, Callable[[Path, Any], Recording]] = {
    '.skeleton': partial(_read_raw, ntu.read_recording, *NTU),
    NTU_DICT: partial(_read_raw, lambda file: read_ntu_dict(file.path)._replace(label=file.label), *NTU),
    '.mat': partial(_read_raw, utd_mhad.read_recording, 'kinect_v1', 'utd_mhad', r'a(\d+)_s\d+_t\d+'),
    '_skeleton3D.txt': partial(
        _read_raw, msr_action3d.read_recording, 'kinect_v1', 'msr_action3d', r'a(\d+)_s\d+_e\d+'
    ),
    FRAME: _read_own,
    '.json': _read_json,
    **dict.fromkeys(custom.SUFFIXES, _read_own),
}
"""The reader of one recording, by file suffix."""

STORE = '.store'
ANNOTATIONS = ('.pkl', '.pickle', STORE)
"""Suffixes of files with many recordings."""

SUFFIXES = (*READERS, *ANNOTATIONS)

"""Recordings as users have them: arrays, files of many kinds, annotation files, results of pose estimators.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.class_names import CLASS_NAMES
from mmdualhead.datasets.converters import custom, kinetics, msr_action3d, ntu, nw_ucla, utd_mhad
from mmdualhead.datasets.converters.recording import Clip, MalformedRecording
from mmdualhead.datasets.converters.recording import Recording as RawFile
from mmdualhead.skeletons import SKELETONS

MOST_BYTES = 2 << 30
"""A file of one recording that is larger is not a recording: a million frames have a quarter of that."""

MOST_ANNOTATION_BYTES = 8 << 30
"""An annotation pickle that is larger belongs into a store, which is read clip by clip."""

UNLABELED = -1
"""Stands for the class where neither a file nor its name says it."""

PICKLES = ('.pkl', '.pickle')
STORE = '.store'


class RecordingError(ValueError):
    """A recording can't be answered. The message names the file, the person and the field."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recording, read.

    Args:
        name: what messages and answers call it.
        keypoint: (M, T, V, C).
        source: the file it was read from.
        keypoint_score: (M, T, V) confidences, where they stand apart.
        img_shape: (height, width) of the picture that 2D joints are measured in, in pixels.
        layout: name or definition of its layout; None where nobody says it.
        label: the true class, as a name or, in an annotation file, as an index.
        annotated: it is out of an annotation file, which says what the network is to see.
        normalized: that was normalized already.
    """

    name: str
    keypoint: np.ndarray
    source: Path | None = None
    keypoint_score: np.ndarray | None = None
    img_shape: tuple[int, int] | None = None
    layout: Any = None
    label: str | int | None = None
    annotated: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class Item:
    """A recording that is found but not read yet.

    Args:
        name: what messages call it.
        read: reads it; raises a ValueError or an OSError whose message does not name the file.
    """

    name: str
    read: Callable[[], Recorded]


def find_recordings(
    inputs: Any, img_shape: tuple[int, int] | None = None, split: str | None = None
) -> list[Item]:
    """The recordings in whatever a user gives.

    Args:
        inputs: one of these, or a list of them:

            * an array (T, V, C) or (M, T, V, C);
            * an annotation, that is a dict with ``keypoint``;
            * the poses of a video as MMAction2's ``inference_skeleton`` takes them: for each frame a dict of
              ``keypoints`` (M, V, 2) in pixels and ``keypoint_scores`` (M, V);
            * a file: NTU RGB+D's ``.skeleton``, UTD-MHAD's ``.mat``, MSR-Action3D's ``_skeleton3D.txt``,
              JSON of NW-UCLA or Kinetics-Skeleton; one's own ``.npy``, ``.npz`` (``keypoint``) or ``.csv``;
            * an annotation pickle or store, for all its clips;
            * a directory, for all such files below it; or a pattern such as ``clips/*.mat``.
        img_shape: (height, width) of the pictures in which poses were estimated.
        split: of annotation files, only the clips of this split.

    Returns:
        The recordings in the order given; those of a directory by name.

    Raises:
        RecordingError: an input is of another kind, or there is none. Files that are missing or can't be read
            are reported when they are read.
    """
    if _is_poses(inputs) or not isinstance(inputs, list | tuple):
        inputs = [inputs]
    items = [item for i, one in enumerate(inputs) for item in _items(one, i, img_shape, split)]
    if not items:
        raise RecordingError('no recordings: the list of inputs is empty')
    return items


def _is_poses(value: Any) -> bool:
    """Whether a list holds a dict of keypoints for every frame."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(frame, Mapping) and 'keypoints' in frame for frame in value)
    )


def _items(one: Any, position: int, img_shape: Any, split: str | None) -> Iterator[Item]:
    name = f'input {position}'
    if isinstance(one, str | Path):
        yield from _items_at(str(one), split)
    elif isinstance(one, Mapping) and 'keypoint' in one:
        name = str(one.get('frame_dir', name))
        yield Item(name, partial(_from_annotation, one, name, None, None, False))
    elif _is_poses(one):
        yield Item(name, partial(_from_poses, one, name, img_shape))
    elif hasattr(one, '__array__') and not isinstance(one, np.generic):
        yield Item(name, partial(_from_array, one, name))
    else:
        raise RecordingError(
            f'{name}: expected an array (T, V, C) or (M, T, V, C), a path, an annotation or the poses of '
            f'each frame, found a {type(one).__name__}'
        )


def _from_array(array: Any, name: str) -> Recorded:
    return Recorded(name=name, keypoint=check_shape(np.asarray(array)))


def check_shape(keypoint: np.ndarray) -> np.ndarray:
    """(M, T, V, C) of an array that may lack M.

    Raises:
        ValueError: not numbers, or of another number of axes.
    """
    if keypoint.dtype.kind not in 'fiu' or keypoint.ndim not in (3, 4):
        raise ValueError(
            'keypoint: expected numbers of shape (T, V, C) or (M, T, V, C), found '
            f'{keypoint.dtype} {keypoint.shape}'
        )
    return keypoint if keypoint.ndim == 4 else keypoint[None]


def _from_poses(
    frames: Sequence[Mapping[str, Any]], name: str, img_shape: tuple[int, int] | None
) -> Recorded:
    """As MMAction2's ``inference_skeleton`` arranges them; persons absent from a frame are zero."""
    if img_shape is None:
        raise ValueError('img_shape: poses are in pixels, so the height and width of the picture are needed')
    joints = [np.asarray(frame['keypoints'], np.float32) for frame in frames]
    scores = [
        np.asarray(frame.get('keypoint_scores', np.ones(j.shape[:2])))
        for frame, j in zip(frames, joints, strict=True)
    ]
    shapes = {j.shape[1:] for j in joints if j.size}
    if len(shapes) != 1 or any(len(shape) != 2 or shape[1] != 2 for shape in shapes):
        raise ValueError(f'keypoints: expected (M, V, 2) with one V in all frames, found {sorted(shapes)}')
    for t, (one, score) in enumerate(zip(joints, scores, strict=True)):
        if one.size and score.shape != one.shape[:2]:
            raise ValueError(f'keypoint_scores: frame {t} has shape {score.shape}, its keypoints {one.shape}')
    (shape,) = shapes
    persons = max(len(one) for one in joints)
    keypoint = np.zeros((persons, len(frames), *shape), np.float32)
    keypoint_score = np.zeros(keypoint.shape[:3], np.float32)
    for t, (one, score) in enumerate(zip(joints, scores, strict=True)):
        if one.size:
            keypoint[: len(one), t], keypoint_score[: len(one), t] = one, score
    return Recorded(name=name, keypoint=keypoint, keypoint_score=keypoint_score, img_shape=img_shape)


def _from_annotation(
    clip: Mapping[str, Any], name: str, source: Path | None, layout: Any, normalized: bool
) -> Recorded:
    label = clip.get('label')
    shape = clip.get('img_shape')
    return Recorded(
        name=name,
        source=source,
        keypoint=check_shape(np.asarray(clip['keypoint'])),
        keypoint_score=clip.get('keypoint_score'),
        img_shape=None if shape is None else tuple(shape),
        layout=layout,
        label=None if label is None else int(label),
        annotated=True,
        normalized=normalized,
    )


def _items_at(text: str, split: str | None) -> Iterator[Item]:
    """The recordings in a file or directory, or in all that match a pattern."""
    path = Path(text).expanduser()
    if path.is_dir() and path.suffix != STORE:
        yield from _items_below(path, split)
    elif path.exists():
        yield from _items_in(path, split)
    elif glob.has_magic(text):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            yield _missing(text, 'no file matches this pattern')
        for one in found:
            yield from _items_at(glob.escape(one) if not Path(one).exists() else one, split)
    else:
        yield _missing(text, 'no such file or directory')


def _items_below(folder: Path, split: str | None) -> Iterator[Item]:
    stores = [path for path in sorted(folder.rglob(f'*{STORE}')) if path.is_dir()]
    files = [
        path
        for path in sorted(folder.rglob('*'))
        if path.is_file() and _reader(path) and not any(store in path.parents for store in stores)
    ]
    if not files and not stores:
        yield _missing(str(folder), f'no recordings in this directory; files end with {", ".join(SUFFIXES)}')
    for path in [*stores, *files]:
        yield from _items_in(path, split)


def _items_in(path: Path, split: str | None) -> Iterator[Item]:
    if path.suffix in PICKLES or path.is_dir():
        try:
            yield from _annotated(path, split)
        except (ValueError, OSError) as caught:
            yield Item(str(path), partial(_fail, caught))
        return
    yield Item(str(path), partial(_read_file, path))


def _missing(name: str, reason: str) -> Item:
    """Reported in its turn, so that the others are answered."""
    return Item(name, partial(_fail, ValueError(reason)))


def _fail(error: Exception) -> Recorded:
    raise error


def _annotated(path: Path, split: str | None) -> Iterator[Item]:
    if path.is_file():
        _check_size(path, MOST_ANNOTATION_BYTES, 'a store (converters: --store) is read clip by clip')
    file = open_annotations(path)
    if split is not None and split not in file.splits:
        raise ValueError(f'split {split!r} is none of {file.splits}')
    layout = file.meta.get('layout')
    normalized = bool(file.meta.get('normalized'))
    seen = set()
    for one in [split] if split is not None else file.splits:
        clips = file.select(one)
        for i in range(len(clips)):
            clip = clips[i]
            name = str(clip.get('frame_dir', clip.get('filename', f'#{i}')))
            if name not in seen:
                seen.add(name)
                yield Item(
                    f'{path}, clip {name}',
                    partial(_from_annotation, clip, name, path, layout, normalized),
                )


def _check_size(path: Path, most: int, advice: str) -> None:
    size = path.stat().st_size
    if size > most:
        raise ValueError(f'the file has {size / 2**30:.1f} GiB, at most {most / 2**30:g} are read; {advice}')


def _read_file(path: Path) -> Recorded:
    reader = _reader(path)
    if reader is None:
        raise ValueError(f'files of recordings end with {", ".join(SUFFIXES)}, not with {path.suffix!r}')
    _check_size(path, MOST_BYTES, 'cut it into several recordings')
    return replace(reader(path), source=path)


def _read_raw(
    path: Path, read: Callable[[RawFile], Clip], layout: str, dataset: str, action: str | None
) -> Recorded:
    """A file of a known data set; the class is the number that ``action`` finds in its name."""
    named = re.match(action, path.name) if action else None
    clip = read(RawFile(path.name.split('.')[0], path, int(named[1]) - 1 if named else UNLABELED))
    classes = CLASS_NAMES.get(dataset, ())
    label = classes[clip.label] if clip.label is not None and 0 <= clip.label < len(classes) else None
    return Recorded(name=path.stem, keypoint=check_shape(clip.keypoint), layout=layout, label=label)


def _read_json(path: Path) -> Recorded:
    """NW-UCLA has ``skeletons``, Kinetics-Skeleton ``data``."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedRecording(f'not JSON ({error})') from None
    keys = set(content) if isinstance(content, dict) else set()
    if 'skeletons' in keys:
        return _read_raw(path, nw_ucla.read_recording, 'kinect_v1', 'nw_ucla', None)
    if 'data' in keys:
        index = content.get('label_index')
        label = index if isinstance(index, int) else UNLABELED
        clip = kinetics.read_recording(RawFile(path.stem, path, label))
        # What the converter does is what normalization is for.
        return Recorded(
            name=path.stem,
            keypoint=clip.keypoint,
            layout='openpose',
            normalized=True,
            label=content.get('label') or None,
        )
    raise MalformedRecording(
        f"expected 'skeletons' (NW-UCLA) or 'data' (Kinetics-Skeleton), found {sorted(keys)[:5]}"
    )


def _read_custom(path: Path) -> Recorded:
    """An array of one's own; the number of joints of a table follows from its columns."""
    if path.suffix == '.csv':
        return Recorded(name=path.stem, keypoint=_read_table(path))
    clip = custom.read_recording(RawFile(path.stem, path, UNLABELED), num_joints=0)
    return Recorded(name=path.stem, keypoint=clip.keypoint)


def _read_table(path: Path) -> np.ndarray:
    """(1, T, V, C) of a table; its number of columns must be that of a known layout in 3D or else 2D."""
    with path.open(encoding='utf-8-sig', errors='replace') as file:
        columns = file.readline().count(',') + 1
    counts = {skeleton.num_joints for skeleton in SKELETONS.values()}
    for channels in (3, 2):
        if columns % channels == 0 and columns // channels in counts:
            return custom.read_recording(
                RawFile(path.stem, path, UNLABELED), num_joints=columns // channels
            ).keypoint
    raise MalformedRecording(
        f'{columns} columns, expected x, y(, z) of each joint for {sorted(counts)} joints; save '
        'other layouts as .npy'
    )


READERS: dict[str, Callable[[Path], Recorded]] = {
    '.skeleton': partial(
        _read_raw,
        read=ntu.read_recording,
        layout='nturgb+d',
        dataset='ntu120',
        action=r'S\d{3}C\d{3}P\d{3}R\d{3}A(\d{3})',
    ),
    '.mat': partial(
        _read_raw,
        read=utd_mhad.read_recording,
        layout='kinect_v1',
        dataset='utd_mhad',
        action=r'a(\d+)_s\d+_t\d+',
    ),
    '_skeleton3D.txt': partial(
        _read_raw,
        read=msr_action3d.read_recording,
        layout='kinect_v1',
        dataset='msr_action3d',
        action=r'a(\d+)_s\d+_e\d+',
    ),
    '.json': _read_json,
    **dict.fromkeys(custom.READERS, _read_custom),
}
SUFFIXES = (*READERS, *PICKLES, STORE)


def _reader(path: Path) -> Callable[[Path], Recorded] | None:
    """What reads a file; for a pickle something that is never called."""
    if path.suffix in PICKLES:
        return _read_file
    return next((reader for end, reader in READERS.items() if path.name.endswith(end)), None)

"""Find the recordings in a user's inputs; each is read lazily.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.apis.readers import ANNOTATIONS, READERS, STORE, SUFFIXES, read_annotation
from mmdualhead.datasets.annotations.clips import Clips
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.poses.arrays import clips_in
from mmdualhead.datasets.poses.files import is_content, read_content, reader_of, whole
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError

MOST_BYTES = 2 << 30
"""The largest file of one recording; a million frames take a quarter of that."""

MOST_ANNOTATION_BYTES = 8 << 30
"""A larger annotation pickle should be converted to a store, which is read clip by clip."""


RecordingError = UserError
"""A recording cannot be predicted. The message names the file, the person and the field."""


def find_recordings(
    inputs: Any, img_shape: tuple[int, int] | None = None, split: str | None = None
) -> list[Recording]:
    """The recordings in a user's inputs.

    Args:
        inputs: one of these, or a list of them:

            * an array (T, V, C) or (M, T, V, C);
            * an annotation, that is a dict with ``keypoint``;
            * the poses of a video as MMAction2's ``inference_skeleton`` takes them: for each frame a dict of
              ``keypoints`` (M, V, 2) in pixels and ``keypoint_scores`` (M, V);
            * a file: NTU RGB+D's ``.skeleton``, UTD-MHAD's ``.mat``, MSR-Action3D's ``_skeleton3D.txt``,
              JSON of NW-UCLA or Kinetics-Skeleton; your own ``.npy``, ``.npz`` (``keypoint``) or ``.csv``;
            * an annotation pickle or store, for all its clips;
            * a directory, for all such files below it; or a pattern such as ``clips/*.mat``;
            * what this function returns.
        img_shape: (height, width) of the images in which poses were estimated.
        split: of annotation files, only the clips of this split.

    Returns:
        The recordings in the order given; those of a directory sorted by name.

    Raises:
        RecordingError: an input has another type, or there is none. Files that are missing or cannot be read
            are reported when they are read.
    """
    if isinstance(inputs, Iterator):
        inputs = list(inputs)
    if is_content(inputs) or not isinstance(inputs, list | tuple):
        inputs = [inputs]
    given: dict[Path, bool] = {}
    named = [(one, f'input {i}') for i, one in enumerate(inputs)]
    found = [recording for one in named for recording in _recordings_in(*one, img_shape, split, given)]
    if not found:
        raise RecordingError('no recordings: the list of inputs is empty')
    return found


def _recordings_in(
    one: Any, name: str, img_shape: Any, split: str | None, given: dict[Path, bool]
) -> Iterator[Recording]:
    if isinstance(one, Recording):
        yield one
    elif isinstance(one, str | Path):
        yield from _named(str(one), img_shape, split, given)
    elif isinstance(one, Mapping) and 'keypoint' in one:
        yield Recording(str(one.get('frame_dir', name)), load=partial(read_annotation, one))
    elif is_content(one):
        yield Recording(name, load=partial(read_content, one, img_shape))
    elif hasattr(one, '__array__') and not isinstance(one, np.generic):
        yield Recording(name, keypoint=one)
    else:
        raise RecordingError(
            f'{name}: expected an array (T, V, C) or (M, T, V, C), a path, an annotation or the poses of '
            f'each frame, found a {type(one).__name__}'
        )


def _named(text: str, img_shape: Any, split: str | None, given: dict[Path, bool]) -> Iterator[Recording]:
    """The recordings in a file or directory, or in all that match a pattern.

    The parts of a recording are one recording, even if each of them is given: ``given`` has those that were
    found before, and whether by a part.
    """
    path = Path(text).expanduser()
    is_pattern = glob.has_magic(text) and not path.exists()
    found = sorted(map(Path, glob.glob(str(path), recursive=True))) if is_pattern else [path]
    if not found:
        yield Recording(text).failing(ValueError('no file matches this pattern'))
    for one in found:
        recording = whole(one)
        is_part = recording != one
        if recording in given and (is_part or given[recording]):
            continue
        given.setdefault(recording, is_part)
        parts = _below(one) if one.is_dir() and one.suffix != STORE else [recording]
        if not parts:
            reason = f'no recordings in this directory; files end with {", ".join(SUFFIXES)}'
            yield Recording(str(one)).failing(ValueError(reason))
        for part in parts:
            yield from _in_file(part, img_shape, split)


def _in_file(path: Path, img_shape: Any, split: str | None) -> Iterator[Recording]:
    """The recordings in a file, a store or a folder of frames."""
    try:
        if not path.exists():
            raise ValueError('no such file or directory')
        if clips := clips_in(path):
            yield from _listed(clips, split)
            return
        _check_size(path)
        if path.suffix in ANNOTATIONS:
            yield from _annotated(path, split)
        else:
            name = path.name if path.is_dir() else path.stem
            yield Recording(name, path, load=partial(reader_of(path, READERS), path, img_shape))
    except (ValueError, OSError) as error:
        yield Recording(str(path)).failing(error)


def _below(folder: Path) -> list[Path]:
    """All files of recordings in a directory, without those inside stores; folders of frames as such."""
    found = [
        whole(path)
        for path in sorted(folder.rglob('*'))
        if path.name.lower().endswith(tuple(map(str.lower, SUFFIXES)))
        and path.is_dir() == (path.suffix == STORE)
        and not any(parent.suffix == STORE for parent in path.relative_to(folder).parents)
    ]
    return list(dict.fromkeys(found))


def _listed(clips: Iterable[Recording], split: str | None) -> Iterator[Recording]:
    """The clips of an array, which are read lazily."""
    splits: set[str] = set()
    for one in clips:
        splits |= {*one.splits}
        if split is None or split in one.splits:
            yield one
    if split not in {None, *splits}:
        raise ValueError(f'split {split!r} is not one of {sorted(splits)}')


def _check_size(path: Path) -> None:
    most, advice = MOST_BYTES, 'split it into several recordings'
    if path.suffix in ANNOTATIONS:
        most, advice = MOST_ANNOTATION_BYTES, 'a store (converters: --store) is read clip by clip'
    size = path.stat().st_size
    if size > most:
        raise ValueError(f'the file has {size / 2**30:.1f} GiB, at most {most / 2**30:g} are read; {advice}')


def _annotated(path: Path, split: str | None) -> Iterator[Recording]:
    """The clips of an annotation file; those of a store are read lazily."""
    file = open_annotations(path)
    if split is not None and split not in file.splits:
        raise ValueError(f'split {split!r} is not one of {file.splits}')
    layout, normalized = file.meta.get('layout'), bool(file.meta.get('normalized'))
    classes = tuple(file.meta.get('classes') or ())

    def read(clips: Clips, i: int) -> Recording:
        return read_annotation(clips[i], layout, normalized, classes)

    clips = file.select(split)  # all for None, also those that share a name or are in no split
    for i, info in enumerate(clips.infos()):
        name = str(info.get('frame_dir', info.get('filename', f'#{i}')))
        yield Recording(name, path, annotated=True, load=partial(read, clips, i))

"""The recordings in whatever a user names, each of them to be read when its turn comes.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.apis.readers import (
    ANNOTATIONS,
    STORE,
    SUFFIXES,
    Recording,
    read_annotation,
    read_file,
    read_poses,
)
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.errors import UserError

MOST_BYTES = 2 << 30
"""A file of one recording that is larger is not a recording: a million frames have a quarter of that."""

MOST_ANNOTATION_BYTES = 8 << 30
"""An annotation pickle that is larger belongs into a store, which is read clip by clip."""


RecordingError = UserError
"""A recording can't be answered. The message names the file, the person and the field."""


def find_recordings(
    inputs: Any, img_shape: tuple[int, int] | None = None, split: str | None = None
) -> list[Recording]:
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
            * a directory, for all such files below it; or a pattern such as ``clips/*.mat``;
            * what this function returns.
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
    named = [(one, f'input {i}') for i, one in enumerate(inputs)]
    found = [recording for one in named for recording in _recordings_in(*one, img_shape, split)]
    if not found:
        raise RecordingError('no recordings: the list of inputs is empty')
    return found


def _is_poses(value: Any) -> bool:
    """Whether a list holds a dict of keypoints for every frame."""
    frames = value if isinstance(value, list | tuple) else ()
    return bool(frames) and all(isinstance(frame, Mapping) and 'keypoints' in frame for frame in frames)


def _recordings_in(one: Any, name: str, img_shape: Any, split: str | None) -> Iterator[Recording]:
    if isinstance(one, Recording):
        yield one
    elif isinstance(one, str | Path):
        yield from _named(str(one), split)
    elif isinstance(one, Mapping) and 'keypoint' in one:
        name = str(one.get('frame_dir', name))
        yield Recording(name=name, load=partial(read_annotation, one, name=name))
    elif _is_poses(one):
        yield Recording(name=name, load=partial(read_poses, one, name, img_shape))
    elif hasattr(one, '__array__') and not isinstance(one, np.generic):
        yield Recording(name=name, keypoint=one)
    else:
        raise RecordingError(
            f'{name}: expected an array (T, V, C) or (M, T, V, C), a path, an annotation or the poses of '
            f'each frame, found a {type(one).__name__}'
        )


def _named(text: str, split: str | None) -> Iterator[Recording]:
    """The recordings in a file or directory, or in all that match a pattern."""
    path = Path(text).expanduser()
    is_pattern = glob.has_magic(text) and not path.exists()
    found = sorted(map(Path, glob.glob(str(path), recursive=True))) if is_pattern else [path]
    if not found:
        yield _failing(text, ValueError('no file matches this pattern'))
    for one in found:
        yield from _at(one, split)


def _at(path: Path, split: str | None) -> Iterator[Recording]:
    try:
        if path.is_dir() and path.suffix != STORE:
            for one in _below(path):
                yield from _at(one, split)
            return
        _check_size(path)
        if path.suffix in ANNOTATIONS:
            yield from _annotated(path, split)
        else:
            yield Recording(name=path.stem, source=path, load=partial(read_file, path))
    except (ValueError, OSError) as error:
        yield _failing(path, error)


def _below(folder: Path) -> list[Path]:
    """All files of recordings in a directory; what is in a store is the store's."""
    found = [
        path
        for path in sorted(folder.rglob('*'))
        if path.name.endswith(SUFFIXES)
        and path.is_dir() == (path.suffix == STORE)
        and not any(parent.suffix == STORE for parent in path.relative_to(folder).parents)
    ]
    if not found:
        raise ValueError(f'no recordings in this directory; files end with {", ".join(SUFFIXES)}')
    return found


def _check_size(path: Path) -> None:
    if not path.exists():
        raise ValueError('no such file or directory')
    most, advice = MOST_BYTES, 'cut it into several recordings'
    if path.suffix in ANNOTATIONS:
        most, advice = MOST_ANNOTATION_BYTES, 'a store (converters: --store) is read clip by clip'
    size = path.stat().st_size
    if size > most:
        raise ValueError(f'the file has {size / 2**30:.1f} GiB, at most {most / 2**30:g} are read; {advice}')


def _annotated(path: Path, split: str | None) -> Iterator[Recording]:
    """The clips of an annotation file; of a store each is read in its turn."""
    file = open_annotations(path)
    if split is not None and split not in file.splits:
        raise ValueError(f'split {split!r} is none of {file.splits}')
    layout, normalized = file.meta.get('layout'), bool(file.meta.get('normalized'))

    def read(clips: Sequence[Any], i: int, name: str) -> Recording:
        return read_annotation(clips[i], name=name, source=path, layout=layout, normalized=normalized)

    seen = set()
    for one in file.splits if split is None else [split]:
        clips = file.select(one)
        for i, info in enumerate(clips.infos()):
            name = str(info.get('frame_dir', info.get('filename', f'#{i}')))
            if name not in seen:
                seen.add(name)
                load = partial(read, clips, i, name)
                yield Recording(name=name, source=path, annotated=True, load=load)


def _failing(path: str | Path, error: Exception) -> Recording:
    """What is wrong is raised in its turn, so that the others are answered."""

    def read() -> Recording:
        raise error

    return Recording(name=str(path), load=read)

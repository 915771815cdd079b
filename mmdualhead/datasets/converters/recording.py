"""What every converter speaks: raw recordings, the clips read from them, and the two ways to fail.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class ConversionError(ValueError):
    """The raw files as a whole can't be converted; no result is written."""


class MalformedRecording(ValueError):  # noqa: N818 (it names the recording's state)
    """A raw file breaks its format. The message says where; the runner adds the file's name."""


class EmptyRecording(MalformedRecording):
    """A raw file is well-formed and holds nobody."""


@dataclass(frozen=True)
class Recording:
    """One raw file, not yet read.

    Args:
        name: what the annotation file calls the clip (``frame_dir``).
        path: the raw file.
        label: class index, 0-based; None where only the file itself tells it.
        subject: who performs, where the data set tells; for the summary.
        splits: the splits that the clip belongs to.
    """

    name: str
    path: Path
    label: int | None = None
    subject: str | None = None
    splits: tuple[str, ...] = ()


class Clip(NamedTuple):
    """What a reader gets out of a raw file.

    Args:
        keypoint: (M, T, V, C) float32.
        label: class index, 0-based; None where nobody has told.
        lost_frames: frames without anybody in them, which the reader dropped.
    """

    keypoint: np.ndarray
    label: int | None
    lost_frames: int = 0


@dataclass(frozen=True, kw_only=True)
class RawDataset:
    """A directory of raw files, ready to be converted.

    Args:
        meta: goes into the annotation file: ``dataset``, ``layout``, ``classes`` (names, or None) and, where
            the reader does what normalization is for, ``normalized=True``.
        recordings: the raw files to convert, in the order of the result.
        read: reads one of them; a module-level function (or a partial of one), so that worker processes
            can have it. Raises :class:`MalformedRecording` or :class:`EmptyRecording`.
        left_out: clips that the protocol leaves out, with the reason.
    """

    meta: Mapping[str, Any]
    recordings: Sequence[Recording]
    read: Callable[[Recording], Clip]
    left_out: Mapping[str, str] = field(default_factory=dict)


def find_files(src: str | Path, pattern: str) -> list[tuple[Path, re.Match[str]]]:
    """The files below a directory whose names match, sorted by name.

    Args:
        src: the directory, searched with its subdirectories.
        pattern: regular expression for the whole file name.

    Returns:
        Pairs of path and match.

    Raises:
        FileNotFoundError: there is no such directory, or no such file in it.
        ConversionError: two files have the same name.
    """
    src = Path(src)
    if not src.is_dir():
        raise FileNotFoundError(f'{src}: no such directory')
    files = sorted((path for path in src.rglob('*') if path.is_file()), key=lambda path: path.name)
    found = [(path, match) for path in files if (match := re.fullmatch(pattern, path.name))]
    if not found:
        seen = ', '.join(path.name for path in files[:3]) or 'nothing'
        raise FileNotFoundError(f'{src}: no file name matches {pattern}; found {len(files)} files: {seen}')
    check_unique([path for path, _ in found])
    return found


def check_unique(paths: Sequence[Path]) -> None:
    """Refuse two raw files for one clip.

    Raises:
        ConversionError: some file name occurs in two places.
    """
    by_name = {path.name: path for path in paths}
    twins = sorted(set(paths) - set(by_name.values()))
    if twins:
        first = twins[0]
        raise ConversionError(
            f'{len(twins)} file names occur twice, the first: {first} and {by_name[first.name]}'
        )


def check_number(what: str, number: int, last: int, path: Path) -> int:
    """The 0-based index of a 1-based number in a file name.

    Raises:
        ConversionError: the number is outside 1..last.
    """
    if not 1 <= number <= last:
        raise ConversionError(f'{path}: the name says {what} {number}, expected 1..{last}')
    return number - 1


def as_float32(numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are stored; what is too large becomes infinite, which :func:`check_clip` refuses."""
    with np.errstate(over='ignore'):
        return np.asarray(numbers).astype(np.float32)


def drop_lost_frames(keypoint: np.ndarray) -> tuple[np.ndarray, int]:
    """The frames in which anything is not zero.

    Args:
        keypoint: (M, T, V, C).

    Returns:
        The frames that are left, and how many are not.
    """
    kept = keypoint.any(axis=(0, 2, 3))
    return keypoint[:, kept], int((~kept).sum())


def check_clip(clip: Clip, num_joints: int) -> None:
    """What every clip of every data set has to be.

    Raises:
        MalformedRecording: not (M, T, V, C) with the layout's V, or values that are no finite numbers.
        EmptyRecording: no person, no frame, or nothing but zeros.
    """
    keypoint = clip.keypoint
    if keypoint.ndim != 4 or keypoint.shape[2] != num_joints:
        raise MalformedRecording(f'expected (M, T, {num_joints}, C), found {keypoint.shape}')
    if not keypoint.any():
        raise EmptyRecording('nobody in any frame')
    wrong = np.argwhere(~np.isfinite(keypoint))
    if len(wrong):
        person, frame, joint, _ = wrong[0]
        raise MalformedRecording(
            f'{len(wrong)} coordinates are no finite numbers, the first of person {person}, frame {frame}, '
            f'joint {joint}'
        )

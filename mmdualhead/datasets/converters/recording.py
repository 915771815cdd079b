"""What every converter speaks: raw recordings, the clips read from them, and the two ways to fail.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.utils.text import and_more, plural

SHARDS_SUFFIX = '.shards'
"""What is appended to the name of a result for the folder of what was read so far."""

LOST_FRAMES = 'frames without anybody dropped'


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
        counts: what the reader did and how often, for the summary, such as ``{LOST_FRAMES: 3}``.
    """

    keypoint: np.ndarray
    label: int | None
    counts: Mapping[str, int] = {}


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
        notes: sentences for the summary.
    """

    meta: Mapping[str, Any]
    recordings: Sequence[Recording]
    read: Callable[[Recording], Clip]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def check_folder(src: str | Path) -> Path:
    """The directory of the raw files.

    Raises:
        FileNotFoundError: the directory does not exist.
        ConversionError: it is a file; of an archive it says how to unpack it.
    """
    src = Path(src)
    if src.is_dir():
        return src
    if not src.exists():
        raise FileNotFoundError(f'{src}: no such directory')
    folder = src.with_name(src.name.split('.')[0])
    if src.is_file() and zipfile.is_zipfile(src):
        kind, unpack = 'zip', f'unzip {src} -d {folder}'
    elif src.is_file() and tarfile.is_tarfile(src):
        kind, unpack = 'tar', f'mkdir {folder} && tar -xf {src} -C {folder}'
    else:
        raise ConversionError(f'{src} is not a directory; name the one of the raw files')
    raise ConversionError(f'{src} is a {kind} archive: {unpack}, and name {folder} instead')


def list_files(src: str | Path) -> list[Path]:
    """All files below a directory, links included, sorted by name; those of unfinished conversions left out.

    Raises:
        FileNotFoundError, ConversionError: as :func:`check_folder`.
    """
    src = check_folder(src)
    files = (path for path in src.rglob('*') if path.is_symlink() or not path.is_dir())
    raw = (f for f in files if not any(p.suffix == SHARDS_SUFFIX for p in f.relative_to(src).parents))
    return sorted(raw, key=lambda path: path.name)


def find_files(
    src: str | Path, pattern: str, numbers: Mapping[str, Collection[int]]
) -> tuple[list[tuple[Path, tuple[str, ...]]], list[str]]:
    """The files below a directory whose names match, sorted by name.

    Args:
        src: the directory, searched with its subdirectories.
        pattern: regular expression for the whole file name; its first group is the clip's name, the others
            are the numbers in it.
        numbers: what each of these is, and the values that it may have.

    Returns:
        Pairs of the path and the pattern's groups, and a note for each kind of files that were passed over.

    Raises:
        FileNotFoundError: there is no such directory, or no such file in it.
        ConversionError: two files have the same name, a number in a name is not in the data set, or SRC is an
            archive or another file.
    """
    found, passed = [], defaultdict(list)
    for path in list_files(src):
        match = re.fullmatch(pattern, path.name)
        if not path.exists():
            passed['broken links'].append(path.name)
        elif path.is_dir():
            passed['links to directories'].append(path.name)
        elif match:
            found.append((path, match.groups()))
        elif re.fullmatch(pattern, path.name, re.IGNORECASE):
            passed['upper and lower case exchanged'].append(path.name)
        else:
            passed['other names'].append(path.name)
    notes = [
        f'passed over {plural(len(names), "file")}: {kind} ({and_more(names)})'
        for kind, names in passed.items()
    ]
    if not found:
        raise FileNotFoundError(f'{src}: no file name matches {pattern}; {"; ".join(notes) or "it is empty"}')
    check_unique([path for path, _ in found])
    for path, (_, *named) in found:
        for (what, allowed), number in zip(numbers.items(), named, strict=True):
            if int(number) not in allowed:
                expected = f'1..{max(allowed)}' if isinstance(allowed, range) else f'one of {tuple(allowed)}'
                raise ConversionError(f'{path}: the name says {what} {int(number)}, expected {expected}')
    return found, notes


def check_unique(paths: Sequence[Path]) -> None:
    """Refuse two raw files for one clip.

    Raises:
        ConversionError: some file name occurs in two places.
    """
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        first, second, *_ = sorted(path for path in paths if path.name == twice[0])
        raise ConversionError(f'{len(twice)} file names occur twice, the first: {first} and {second}')


def compare_total(what: str, found: int, published: int) -> list[str]:
    """A note where the number of clips is not the published one."""
    return [] if found == published else [f'{what} has {published:,} clips as published, found {found:,}']


def read_json(path: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        MalformedRecording: it is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedRecording(f'not JSON ({error})') from error


def as_float32(numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are stored; what is too large becomes infinite, which :func:`check_clip` refuses."""
    with np.errstate(over='ignore'):
        return np.asarray(numbers).astype(np.float32)


def drop_lost_frames(keypoint: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """The frames of a clip (M, T, V, C) in which anything is not zero, and the count of those that went."""
    kept = keypoint.any(axis=(0, 2, 3))
    return keypoint[:, kept], {LOST_FRAMES: int((~kept).sum())}


def check_clip(clip: Clip, num_joints: int) -> None:
    """What every clip of every data set has to be.

    Raises:
        MalformedRecording: not (M, T, V, C) with the layout's V, without a class, or values that are not
            finite.
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
            f'{len(wrong)} coordinates are not finite, the first of person {person}, frame {frame}, '
            f'joint {joint}'
        )
    if clip.label is None:
        raise MalformedRecording('nothing tells its class')

"""Find the raw files by name, check and count them."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mmdualhead.errors import UserError
from mmdualhead.utils.text import and_more, plural

from .raw_dataset import UNFINISHED_SUFFIX


def check_folder(src: str | Path) -> Path:
    """The directory of the raw files.

    Raises:
        FileNotFoundError: the directory does not exist.
        UserError: it is a file; for an archive, the message says how to unpack it.
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
        raise UserError(f'{src} is not a directory; give the directory of the raw files')
    raise UserError(f'{src} is a {kind} archive: {unpack}, and give {folder} instead')


def list_files(src: str | Path) -> list[Path]:
    """All files below a directory, links included, sorted by name; without those of unfinished conversions.

    Raises:
        FileNotFoundError, UserError: as :func:`check_folder`.
    """
    src = check_folder(src)
    files = (path for path in src.rglob('*') if path.is_symlink() or not path.is_dir())
    raw = (f for f in files if not any(p.suffix == UNFINISHED_SUFFIX for p in f.relative_to(src).parents))
    return sorted(raw, key=lambda path: path.name)


def find_files(
    src: str | Path, pattern: str, numbers: Mapping[str, Collection[int]]
) -> tuple[list[tuple[Path, tuple[str, ...]]], list[str]]:
    """The files below a directory whose names match, sorted by name.

    Args:
        src: the directory, searched with its subdirectories.
        pattern: regular expression for the whole file name; its first group is the clip's name, the others
            are the numbers in it.
        numbers: the meaning of each and its valid values.

    Returns:
        Pairs of the path and the pattern's groups, and a note for each kind of ignored files.

    Raises:
        FileNotFoundError: the directory is missing, or has none of these files.
        UserError: two files have the same name, a number in a name is not in the data set, or SRC is an
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
        f'ignored {plural(len(names), "file")}: {kind} ({and_more(names)})' for kind, names in passed.items()
    ]
    if not found:
        raise FileNotFoundError(f'{src}: no file name matches {pattern}; {"; ".join(notes) or "it is empty"}')
    check_unique([path for path, _ in found])
    for path, (_, *named) in found:
        for (what, allowed), number in zip(numbers.items(), named, strict=True):
            if int(number) not in allowed:
                expected = f'1..{max(allowed)}' if isinstance(allowed, range) else f'one of {tuple(allowed)}'
                raise UserError(f'{path}: the name has {what} {int(number)}, expected {expected}')
    return found, notes


def check_unique(paths: Sequence[Path]) -> None:
    """Reject two raw files of the same clip.

    Raises:
        UserError: some file name occurs in two places.
    """
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        first, second, *_ = sorted(path for path in paths if path.name == twice[0])
        raise UserError(f'{len(twice)} file names occur twice, the first: {first} and {second}')


def compare_total(what: str, found: int, published: int) -> list[str]:
    """A note if the number of clips differs from the published one."""
    return [] if found == published else [f'{what} has {published:,} clips as published, found {found:,}']

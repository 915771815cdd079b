"""Atomic writes and folder locks."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmdualhead.errors import UserError
from mmdualhead.utils.reading import open_regular

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL = '.{name}.{pid}.partial'
"""The name of a file while it is written."""

STDOUT = Path('-')
"""The name of the standard output, for programs that write files."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a file atomically.

    If writing fails, an older file is kept and no partial file is left. A link stays a link; other kinds of
    files, such as ``/dev/stdout``, are written to directly, and so is the standard output for ``-``.

    Args:
        path: the file; its folder is created.

    Yields:
        The file to write bytes to.

    Raises:
        OSError: it could not be written; the message names the file.
    """
    path = Path(path)
    with name_in_errors(path):
        if path == STDOUT:
            sys.stdout.flush()
            yield sys.stdout.buffer
            sys.stdout.flush()
            return
        if path.exists() and not path.is_file():
            with path.open('wb') as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        partial = target.with_name(PARTIAL.format(name=target.name, pid=os.getpid()))
        _make_folder(target)
        try:
            with partial.open('wb') as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Check before long work that a file can be written; its folder is created.

    Raises:
        OSError: it cannot be; the message names the file.
    """
    path = Path(path)
    with name_in_errors(path):
        if path == STDOUT:
            return
        if path.exists():
            path.open('ab').close()
            return
        target = Path(os.path.realpath(path))
        _make_folder(target)
        partial = target.with_name(PARTIAL.format(name=target.name, pid=os.getpid()))
        partial.open('wb').close()
        partial.unlink()


def keep_inputs(outputs: Iterable[Path | None], inputs: Iterable[Any]) -> None:
    """Refuse to write over a file that is read.

    Args:
        outputs: the files that will be written; None and ``-`` are none.
        inputs: the files that are read, among other things.

    Raises:
        UserError: an output is one of the inputs.
    """
    read = [Path(one) for one in inputs if isinstance(one, str | Path)]
    for output in filter(None, outputs):
        if output.is_file() and any(one.is_file() and output.samefile(one) for one in read):
            raise UserError(f'{output} is an input, which would be overwritten; choose another file')


def _make_folder(target: Path) -> None:
    with contextlib.suppress(FileExistsError):  # a file: open reports "Not a directory"
        target.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def name_in_errors(path: str | Path) -> Iterator[None]:
    """Name the path in the messages of errors while it is written, such as a full disk.

    Raises:
        OSError: it could not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f'{path} could not be written: {error.strerror}') from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically; see :func:`atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def remove_partial_files(folder: str | Path, name: str = '*') -> list[Path]:
    """Remove partial files of killed processes from a folder that no other process writes to.

    Args:
        folder: the folder.
        name: pattern of the final names of the files.

    Returns:
        The files that were removed.
    """
    partial = sorted(Path(folder).glob(PARTIAL.format(name=name, pid='*')))
    for path in partial:
        path.unlink(missing_ok=True)
    return partial


class FolderLock:
    """Locks a folder against other processes until it is released or the process ends.

    Forked processes do not hold it. On Windows, which lacks such locks, it does nothing.

    Args:
        path: the lock's file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BlockingIOError: another process holds it; the message names that process.
            ValueError: the path is not a regular file.
        """
        if fcntl is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            open_regular(self.path).close()
        file = self.path.open('a+')
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or 'another process'
            file.close()
            raise BlockingIOError(f'{self.path.parent} is in use by {holder}') from None
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
        self._file = file

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

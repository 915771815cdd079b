"""Files that are whole or absent, folders that one process writes at a time, and files that are files."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmdualhead.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL = '.{name}.{pid}.partial'
"""What a file is called while it is written."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name once it is whole.

    If writing fails, an older file of that name stays as it is, and nothing else stays. A link stays one;
    what is not a file, such as ``/dev/stdout``, is written to directly.

    Args:
        path: the file; its folder is made.

    Yields:
        The file to write bytes to.

    Raises:
        OSError: it could not be written; the message names the file.
    """
    path = Path(path)
    with name_in_errors(path):
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
    """Find out before long work whether a file can be written; its folder is made.

    Raises:
        OSError: it can't be; the message names the file.
    """
    path = Path(path)
    with name_in_errors(path):
        if path.exists():
            path.open('ab').close()
            return
        target = Path(os.path.realpath(path))
        _make_folder(target)
        partial = target.with_name(PARTIAL.format(name=target.name, pid=os.getpid()))
        partial.open('wb').close()
        partial.unlink()


def _make_folder(target: Path) -> None:
    with contextlib.suppress(FileExistsError):  # a file: to open says "Not a directory"
        target.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def name_in_errors(path: str | Path) -> Iterator[None]:
    """While something is written: whatever goes wrong, such as a full disk, the message names what it was.

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
    """Write a text file whole or not at all; see :func:`atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def remove_partial_files(folder: str | Path, name: str = '*') -> list[Path]:
    """Remove what killed processes left half written in a folder that no other process writes to.

    Args:
        folder: where they are.
        name: pattern of the names of the files that were to be.

    Returns:
        The files that were removed.
    """
    partial = sorted(Path(folder).glob(PARTIAL.format(name=name, pid='*')))
    for path in partial:
        path.unlink(missing_ok=True)
    return partial


def check_regular(path: str | Path) -> None:
    """Refuse pipes, devices and folders, which can't be read like a file: reading a pipe waits for ever.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: it is not a regular file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError(f'{path} is not a regular file')


class FolderLock:
    """Keeps other processes from working in a folder, until it is released or the process ends, however.

    Forked processes do not hold it. Where the system has no such locks (Windows), nothing is kept.

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
            ValueError: what is there is not a regular file.
        """
        if fcntl is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            check_regular(self.path)
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
        """Let others in."""
        if self._file is not None:
            self._file.close()
            self._file = None

"""NumPy's files, read without unpickling, and without unpacking implausibly large contents."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.memory import BASE, FACTOR, memory_for_file
from mmdualhead.utils.reading import read_bytes

ARCHIVE = (b'PK\3\4', b'PK\5\6')
"""The magic bytes of zip archives, with files and empty."""


def load_arrays(path: str | Path) -> np.ndarray | dict[str, np.ndarray]:
    """Read a ``.npy`` or ``.npz`` file.

    Returns:
        The array of a ``.npy`` file; all arrays of an ``.npz`` file by name.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a regular file, is damaged, contains Python objects, or unpacks to far more than
            its size.
    """
    content = read_bytes(path)
    try:
        with memory_for_file(len(content)):
            return _load_archive(content) if content.startswith(ARCHIVE) else _load_array(content)
    except MemoryError:
        raise UserError(f'needs more memory than a file of {len(content):,} bytes justifies') from None
    except Exception as error:  # NumPy raises many types of errors on damaged files
        raise UserError(f'not a readable NumPy file of plain numbers ({error})') from error


def _load_array(content: bytes) -> np.ndarray:
    """One array, to the last byte."""
    file = io.BytesIO(content)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if rest := len(content) - file.tell():
        raise UserError(f'{rest:,} bytes after an array of shape {array.shape}')
    return array


def _load_archive(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive, each read completely, so that its checksum is compared."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > BASE + FACTOR * len(content):
            raise UserError(
                f'{len(content):,} bytes that unpack to {unpacked:,}, implausible for clips or scores'
            )
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise UserError('an array occurs twice in the archive')
        return {name.removesuffix('.npy'): _load_array(archive.read(name)) for name in names}

"""NumPy's files, read without unpickling, and without unpacking implausibly large contents."""

from __future__ import annotations

import io
import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.memory import BASE, FACTOR, memory_for_file
from mmdualhead.utils.reading import open_regular, read_bytes

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


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape of an array in a file, whether its axes are in Fortran's order, and its type.

    Raises:
        UserError: it is not NumPy's format.
    """
    try:
        np.lib.format.read_magic(file)
        return np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise UserError(f'not a NumPy file ({error})') from None


def map_array(path: str | Path, start: int = 0, end: int | None = None) -> np.ndarray:
    """An array of numbers that stays in its file until it is used.

    Args:
        path: a ``.npy`` file, or one that contains such.
        start: where it begins.
        end: where it ends; by default at the end of the file.

    Raises:
        OSError: the file cannot be opened.
        UserError: there is no array, or it has another length.
    """
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(start)
        shape, is_fortran, dtype = read_header(file)
        begin = file.tell()
    length = (size if end is None else min(end, size)) - begin
    if dtype.kind not in 'biuf' or prod(shape) * dtype.itemsize != length or not length:
        raise UserError(f'an array of shape {shape} and type {dtype} in {length:,} bytes')
    order: Any = 'F' if is_fortran else 'C'
    return np.memmap(path, dtype, 'r', begin, shape, order)

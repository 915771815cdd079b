"""Reads a numeric array out of a Matlab 5 file.

SciPy's reader does so, too, but ends the whole process (segmentation fault) on some damaged files. Format:
"MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from .recording import MalformedRecording

HEADER_SIZE = 128
BYTE_ORDERS = {b'IM': '<', b'MI': '>'}

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}

# Array classes double to uint64; others are text, cells, structures, sparse.
NUMERIC_CLASSES = range(6, 16)
COMPLEX_FLAG = 0x800

# A compressed element that unpacks to more is not a skeleton.
UNPACKED_BASE = 1 << 20
UNPACKED_FACTOR = 64


def read_array(content: bytes, name: str) -> np.ndarray:
    """Find a numeric array by its name.

    Args:
        content: of the file.
        name: of the variable.

    Returns:
        The array, of the shape that it has in Matlab.

    Raises:
        MalformedRecording: not a Matlab 5 file, damaged, or without a numeric array of that name.
    """
    order = BYTE_ORDERS.get(content[HEADER_SIZE - 2 : HEADER_SIZE])
    if order is None:
        raise MalformedRecording('not a Matlab 5 file')
    found = []
    try:
        for kind, data in _elements(content[HEADER_SIZE:], order):
            if kind == COMPRESSED:
                unpacked = zlib.decompressobj().decompress(data, UNPACKED_BASE + UNPACKED_FACTOR * len(data))
                kind, data = next(_elements(unpacked, order), (0, b''))
            if kind != MATRIX:
                continue
            parts = list(_elements(data, order))
            if len(parts) < 3:
                raise MalformedRecording('damaged Matlab file: a variable without a name')
            found.append(parts[2][1].decode('ascii', 'replace'))
            if found[-1] == name:
                return _array(name, parts, order)
    except (struct.error, zlib.error) as error:
        raise MalformedRecording(f'damaged Matlab file ({error})') from error
    raise MalformedRecording(f'no variable {name!r}, found {found}')


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, contents) of the elements that stand one after the other."""
    start = 0
    while start < len(data):
        kind, size = struct.unpack_from(f'{order}II', data, start)
        begin = start + 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
        end = begin + size
        if end > len(data):
            raise MalformedRecording(f'damaged Matlab file: it ends within an element of {size} bytes')
        yield kind, data[begin:end]
        start = end if kind == COMPRESSED else start + -(-(end - start) // 8) * 8


def _array(name: str, parts: list[tuple[int, bytes]], order: str) -> np.ndarray:
    """The array out of a matrix element's parts: flags, dimensions, name, numbers."""
    (flags,) = struct.unpack_from(f'{order}I', parts[0][1])
    if flags & 0xFF not in NUMERIC_CLASSES or flags & COMPLEX_FLAG or len(parts) != 4:
        raise MalformedRecording(f'{name!r} is not an array of real numbers')
    dims = struct.unpack(f'{order}{len(parts[1][1]) // 4}i', parts[1][1])
    kind, data = parts[3]
    dtype = np.dtype(order + NUMBERS.get(kind, 'V1'))
    if kind not in NUMBERS or min(dims, default=-1) < 0 or len(data) != math.prod(dims) * dtype.itemsize:
        raise MalformedRecording(f'damaged Matlab file: {len(data)} bytes for {name!r} of shape {dims}')
    return np.frombuffer(data, dtype).reshape(dims, order='F')

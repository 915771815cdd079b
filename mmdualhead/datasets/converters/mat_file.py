"""Reads a numeric array out of a Matlab 5 file.

SciPy's reader does so, too, but ends the whole process (segmentation fault) on some damaged files. Format:
"MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

from mmdualhead.errors import UserError

HEADER_SIZE = 128
BYTE_ORDERS = {b'IM': '<', b'MI': '>'}

VERSION_5, VERSION_73 = 0x0100, 0x0200

MATRIX, COMPRESSED, NAME, DIMENSIONS, FLAGS = 14, 15, 1, 5, 6
NUMBERS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}

# Array classes double to uint64; others are text, cells, structures, sparse.
NUMERIC_CLASSES = range(6, 16)
COMPLEX_FLAG = 0x800
FLAGS_SIZE = 8

# Objects, such as strings and tables of newer versions, have no dimensions.
OBJECT_CLASS = 17

# Up to four bytes stand in the tag of an element itself.
TAG_SIZE = 8
SMALL = 4

# A compressed element that unpacks to more is not a skeleton.
UNPACKED_BASE = 1 << 20
UNPACKED_FACTOR = 64


def read_array(content: bytes, name: str) -> np.ndarray:
    """Find a numeric array by its name.

    The whole file is read, other variables too: elements must fill it, and checksums must agree.

    Args:
        content: of the file.
        name: of the variable.

    Returns:
        The array, of the shape that it has in Matlab.

    Raises:
        UserError: not a Matlab 5 file, damaged, or without a numeric array of that name.
    """
    order = _byte_order(content[:HEADER_SIZE], name)
    variables: dict[str, list[tuple[int, bytes]]] = {}
    try:
        for kind, data in _elements(content[HEADER_SIZE:], order):
            parts = list(_elements(_matrix(kind, data, order), order))
            _check_variable(parts, order)
            found = parts[2][1].decode('ascii', 'replace')
            if found in variables:
                raise UserError(f'damaged Matlab file: two variables named {found!r}')
            variables[found] = parts
        if name in variables:
            return _array(name, variables[name], order)
    except (struct.error, zlib.error) as error:
        raise UserError(f'damaged Matlab file ({error})') from error
    raise UserError(f'no variable {name!r}, found {list(variables)}')


def _byte_order(header: bytes, name: str) -> str:
    # A zero among the first four bytes means version 4.
    is_whole = len(header) == HEADER_SIZE and 0 not in header[:4]
    order = BYTE_ORDERS.get(header[-2:]) if is_whole else None
    version = struct.unpack(f'{order}H', header[-4:-2])[0] if order else None
    if version == VERSION_73:
        raise UserError(
            f'a file of MATLAB v7.3 (HDF5), which is not read; save it in MATLAB with save(FILE, {name!r}, '
            "'-v7')"
        )
    if order is None or version != VERSION_5:
        raise UserError('not a Matlab 5 file')
    return order


def _matrix(kind: int, data: bytes, order: str) -> bytes:
    """The contents of a matrix, which a file may compress."""
    if kind == COMPRESSED:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, UNPACKED_BASE + UNPACKED_FACTOR * len(data))
        # The checksum is compared where the compressed data end.
        if not unpacker.eof or unpacker.unused_data:
            raise UserError('damaged Matlab file: compressed data without an end, or more after it')
        (kind, data), *others = _elements(unpacked, order) or [(0, b'')]
        if others:
            raise UserError('damaged Matlab file: more than one variable compressed as one')
    if kind != MATRIX:
        raise UserError(f'damaged Matlab file: an element of type {kind} where a variable should be')
    return data


def _elements(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """(type, contents) of the elements that fill the data, one after the other."""
    found = []
    start = 0
    while start < len(data):
        if len(data) - start < TAG_SIZE:
            raise UserError(f'damaged Matlab file: {len(data) - start} bytes after the last element')
        kind, size = struct.unpack_from(f'{order}II', data, start)
        begin = start + TAG_SIZE
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, start + 4
            if size > SMALL:
                raise UserError(f'damaged Matlab file: a small element of {size} bytes')
        end = begin + size
        start = end if kind == COMPRESSED else start + -(-(end - start) // 8) * 8
        if start > len(data):
            raise UserError(f'damaged Matlab file: it ends within an element of {size} bytes')
        found.append((kind, data[begin:end]))
    return found


def _check_variable(parts: list[tuple[int, bytes]], order: str) -> None:
    """Refuse a matrix element that does not begin with flags, dimensions and a name."""
    if len(parts) < 3 or (parts[0][0], len(parts[0][1])) != (FLAGS, FLAGS_SIZE):
        raise UserError('damaged Matlab file: a variable without flags')
    if struct.unpack_from(f'{order}I', parts[0][1])[0] & 0xFF == OBJECT_CLASS:
        return
    (kind, dims), (name_kind, _) = parts[1:3]
    if (kind, name_kind) != (DIMENSIONS, NAME) or len(dims) % 4:
        raise UserError('damaged Matlab file: a variable without dimensions or a name')


def _array(name: str, parts: list[tuple[int, bytes]], order: str) -> np.ndarray:
    """The array out of a matrix element's parts: flags, dimensions, name, numbers."""
    (flags,) = struct.unpack_from(f'{order}I', parts[0][1])
    if flags & 0xFF not in NUMERIC_CLASSES or flags & COMPLEX_FLAG or len(parts) != 4:
        raise UserError(f'{name!r} is not an array of real numbers')
    dims = struct.unpack(f'{order}{len(parts[1][1]) // 4}i', parts[1][1])
    kind, data = parts[3]
    dtype = np.dtype(order + NUMBERS.get(kind, 'V1'))
    if kind not in NUMBERS or min(dims, default=-1) < 0 or len(data) != math.prod(dims) * dtype.itemsize:
        raise UserError(f'damaged Matlab file: {len(data)} bytes for {name!r} of shape {dims}')
    return np.frombuffer(data, dtype).reshape(dims, order='F')

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from mmdualhead.datasets.converters.mat_file import read_array
from mmdualhead.errors import UserError


def make_file(content: dict, compress: bool = False) -> bytes:
    buffer = BytesIO()
    savemat(buffer, content, do_compression=compress)
    return buffer.getvalue()


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize('dtype', ['f8', 'f4', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8'])
def test_reads_what_scipy_writes(dtype: str, compress: bool) -> None:
    array = np.arange(1, 1 + 20 * 3 * 4).reshape(20, 3, 4).astype(dtype)
    content = make_file({'before': 'some text', 'x': array, 'scalar': np.ones((1, 1), 'u2')}, compress)
    np.testing.assert_array_equal(read_array(content, 'x'), array)
    np.testing.assert_array_equal(read_array(content, 'scalar'), [[1]])
    np.testing.assert_array_equal(read_array(content, 'x'), loadmat(BytesIO(content))['x'])


def test_reads_big_endian_files() -> None:
    """One matrix element by hand: flags, dimensions, name, numbers."""
    parts = (
        struct.pack('>IIII', 6, 8, 6, 0) + struct.pack('>IIii', 5, 8, 1, 2) + struct.pack('>HH4s', 1, 1, b'x')
    )
    parts += struct.pack('>II2d', 9, 16, 1.5, -2.0)
    content = b' ' * 124 + b'\x01\x00MI' + struct.pack('>II', 14, len(parts)) + parts
    # In a small element, the size stands in the upper half of the first word.
    np.testing.assert_array_equal(read_array(content, 'x'), [[1.5, -2.0]])
    np.testing.assert_array_equal(loadmat(BytesIO(content))['x'], [[1.5, -2.0]])


def test_says_what_is_there_instead() -> None:
    content = make_file({'x': np.ones(3), 'y': np.ones(2)})
    with pytest.raises(UserError, match=r"no variable 'z', found \['x', 'y'\]"):
        read_array(content, 'z')


@pytest.mark.parametrize('compress', [False, True])
def test_every_truncation_is_noticed(compress: bool) -> None:
    content = make_file({'x': np.arange(12.0).reshape(2, 3, 2)}, compress)
    for size in range(len(content)):
        with pytest.raises(UserError):
            read_array(content[:size], 'x')


@given(st.binary(max_size=200))
def test_random_bytes(content: bytes) -> None:
    for start in (content, content[:126].ljust(126) + b'IM' + content):
        with pytest.raises(UserError):
            read_array(start, 'x')


@pytest.mark.parametrize('compress', [False, True])
@given(position=st.integers(0, 1000), value=st.integers(0, 255))
def test_a_damaged_byte(compress: bool, position: int, value: int) -> None:
    content = bytearray(make_file({'x': np.arange(12.0).reshape(2, 3, 2)}, compress))
    content[position % len(content)] = value
    try:
        array = read_array(bytes(content), 'x')
    except UserError:
        return
    assert array.size == 12


@pytest.mark.fault(
    '`.mat` file that unpacks to a thousand times its size', '-', 'refused before it is unpacked'
)
def test_a_compressed_bomb_is_not_unpacked() -> None:
    size = 50 << 20
    packed = zlib.compress(struct.pack('<II', 14, size) + bytes(size))
    content = b' ' * 124 + b'\x00\x01IM' + struct.pack('<II', 15, len(packed)) + packed
    tracemalloc.start()
    with pytest.raises(UserError, match='compressed data without an end'):
        read_array(content, 'x')
    assert tracemalloc.get_traced_memory()[1] < 100 * len(content) + (4 << 20)
    tracemalloc.stop()

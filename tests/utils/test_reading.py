"""Files, text, numbers and JSON are read strictly, and in one way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.utils import reading


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, lambda path: os.symlink('/dev/zero', path)])
@pytest.mark.fault('a pipe, device or folder in the place of a file', '-', 'refused at once')
def test_what_is_not_a_file_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / 'x')
    for read in (reading.read_bytes, reading.read_text, reading.read_json):
        with pytest.raises(ValueError, match=r'/x is not a regular file'):
            read(tmp_path / 'x')


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / 'x').write_text('ä\r\nb\rc\x0cd\n', encoding=encoding, newline='')
    assert reading.split_lines(reading.read_text(tmp_path / 'x')) == ['ä', 'b', 'c\x0cd', '']


@pytest.mark.parametrize(
    ('content', 'message'),
    [('a\nä'.encode('latin1'), 'line 2: not text in UTF-8'), (b'a\n\nb\0', 'line 3: it contains NUL bytes')],
)
def test_what_is_not_text_names_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / 'x').write_bytes(content)
    with pytest.raises(ValueError, match=rf'/x: {message}'):
        reading.read_text(tmp_path / 'x')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' occurs twice"),
        ('[1, NaN]', 'NaN is not a number in JSON'),
        ('[-Infinity]', '-Infinity is not a number in JSON'),
        ('[' * 33 + ']' * 33, 'nested more than 32 levels deep'),
        ('[' * 10**6, 'nested more than 32 levels deep'),
        ('{"a":' * 10**5, 'nested more than 32 levels deep'),
        ('[1] 2', 'Extra data: line 1 column 5'),
    ],
)
@pytest.mark.fault(
    'JSON with a key twice, NaN, text after it, or a million levels', '-', 'refused, names file and place'
)
def test_json_is_strict(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'x').write_text(text)
    with pytest.raises(ValueError, match=rf'/x: not JSON \({message}'):
        reading.read_json(tmp_path / 'x')


def test_brackets_in_strings_may_be_as_many_as_in_names() -> None:
    assert reading.parse_json('["[[[]"]') == ['[[[]']


@given(st.recursive(st.booleans() | st.integers() | st.text('abc"\\ä'), st.lists, max_leaves=9))
def test_json_is_read_as_python_does(value: object) -> None:
    assert reading.parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([[1, True]], r'\[0\]\[1\]: True is not a number'),
        ([[1, '2']], r"\[0\]\[1\]: '2' is not a number"),
        ([[1, 2], [3]], r'\[1\]: 1 entries, while the first has 2'),
        ([[1], 2], r'\[1\]: 2 is not a list'),
        (3, '3 is not a list'),
        ([[1, 10**400]], r'\[0\]\[1\]: the number is too large'),
    ],
)
@pytest.mark.fault(
    'JSON with `true`, `null` or text where a number is expected', '-', 'refused with the place'
)
def test_lists_of_other_things_than_numbers(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reading.json_numbers(value, 2)


@pytest.mark.parametrize('shape', [(2, 3), (0,), (1, 2, 3)])
def test_lists_of_numbers(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(reading.json_numbers(array.tolist(), len(shape)), array)


@pytest.mark.parametrize('text', ['0', '-1', '+.5', '1.', '1e5', '1E-05', '-12.25e+3'])
def test_numbers(text: str) -> None:
    assert reading.is_number(text)
    assert reading.parse_numbers([text.encode()]) == [float(text)]


@pytest.mark.parametrize(
    'text', ['', ' ', '1 2', '1_0', '٣', 'nan', 'inf', '0x1', '1e', '1.2.3', '--1', '1,5']
)
def test_what_is_no_number(text: str) -> None:
    assert not reading.is_number(text)
    with pytest.raises(ValueError, match='is not a number'):
        reading.parse_numbers([b'1', text.encode()])

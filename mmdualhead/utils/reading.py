"""The shared functions that open files and parse text, numbers and JSON.

Functions with a path argument name it in their errors; those with contents name the position in them.
"""

from __future__ import annotations

import codecs
import json
import os
import reprlib
import stat
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from mmdualhead.errors import UserError

MOST_DEPTH = 32
"""JSON of recordings, labels and layouts is nested five levels deep at most."""

LONGEST = 200
"""Characters of a value in a message."""

DIGITS = '0123456789eE+-.'
"""All characters of numbers. A text of these that ``float`` accepts is a plain decimal number."""

ENCODINGS = {codecs.BOM_UTF8: 'utf-8-sig', codecs.BOM_UTF16_LE: 'utf-16', codecs.BOM_UTF16_BE: 'utf-16'}

# Maps brackets to the step in depth, as signed bytes.
STEPS = bytes.maketrans(b'[{]}', b'\1\1\377\377')
NO_BRACKETS = bytes(code for code in range(256) if code not in b'[]{}')


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file. Pipes, devices and folders are rejected: reading a pipe may block forever.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file.
    """
    flags = (getattr(os, name, 0) for name in ('O_BINARY', 'O_CLOEXEC', 'O_NONBLOCK', 'O_NOCTTY'))
    descriptor = os.open(path, os.O_RDONLY | sum(flags))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f'{path} is not a regular file')
    return os.fdopen(descriptor, 'rb')


def read_bytes(path: str | Path) -> bytes:
    """The contents of a regular file; see :func:`open_regular`."""
    with open_regular(path) as file:
        return file.read()


def decode_text(content: bytes) -> str:
    """Text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        ValueError: it is in another encoding, or not text; the message names the line.
    """
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), 'utf-8')
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + content.count(b'\n', 0, error.start)
        raise UserError(f'line {line}: not text in UTF-8 ({error.reason})') from None
    if '\0' in text:
        raise UserError(f'line {1 + text.count(chr(10), 0, text.index(chr(0)))}: it contains NUL bytes')
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a text, with any line ending; form feeds and the like do not end a line."""
    return text.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def read_text(path: str | Path) -> str:
    """The text in a regular file; see :func:`decode_text`.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file, or not text; the message names the file and the line.
    """
    return _read(path, decode_text)


def _read(path: str | Path, parse: Callable[[bytes], Any]) -> Any:
    content = read_bytes(path)
    try:
        return parse(content)
    except ValueError as error:
        raise UserError(f'{path}: {error}') from None


def parse_json(content: bytes | str) -> Any:
    """Strict JSON: no duplicate keys in an object, no NaN or Infinity, no more than 32 levels.

    Args:
        content: of a file, or of a part of it.

    Raises:
        UserError: it is not JSON of this kind; the message says where.
    """
    try:
        text = content if isinstance(content, str) else decode_text(content)
        if _depth(text) > MOST_DEPTH:
            raise RecursionError
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise UserError(f'not JSON (nested more than {MOST_DEPTH} levels deep)') from None
    except ValueError as error:
        raise UserError(f'not JSON ({error})') from None


def read_json(path: str | Path) -> Any:
    """The contents of a regular file of strict JSON; see :func:`parse_json`.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file, or not strict JSON; the message names the file and the position.
    """
    return _read(path, parse_json)


def _depth(text: str) -> int:
    """The nesting depth of brackets, including those in strings, which are rarely more than a few."""
    steps = text.encode('ascii', 'replace').translate(STEPS, NO_BRACKETS)
    return int(np.frombuffer(steps, np.int8).cumsum(dtype=np.int64).max(initial=0))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f'the key {shown(twice)} occurs twice in an object')
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise UserError(f'{name} is not a number in JSON')


def json_numbers(value: Any, ndim: int) -> np.ndarray:
    """Nested lists of JSON numbers as a float64 array; ``true`` and ``null`` are not numbers.

    Args:
        value: the lists.
        ndim: how deep they are nested.

    Raises:
        ValueError: something in them is not a number, or lists of one level differ in length; the message
            says where.
    """
    shape: list[int] = []
    level = [value]
    for _ in range(ndim):
        _check_kinds(level, {list}, 'a list', shape)
        lengths = list(map(len, level))
        if len(set(lengths)) > 1:
            odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
            where = _place(odd, shape)
            raise UserError(f'{where}: {lengths[odd]} entries, while the first has {lengths[0]}')
        shape.append(lengths[0] if lengths else 0)
        level = list(chain.from_iterable(level))
    _check_kinds(level, {int, float}, 'a number', shape)
    try:
        return np.array(level, np.float64).reshape(shape)
    except OverflowError:
        odd = next(i for i, number in enumerate(level) if abs(number) > 1e308)
        raise UserError(f'{_place(odd, shape)}: the number is too large') from None


def _check_kinds(level: list[Any], allowed: set[type], what: str, shape: list[int]) -> None:
    if set(map(type, level)) <= allowed:
        return
    odd = next(i for i, one in enumerate(level) if type(one) not in allowed)
    raise UserError(f'{_place(odd, shape)}: {shown(level[odd])} is not {what}'.removeprefix(': '))


def _place(index: int, shape: list[int]) -> str:
    return ''.join(f'[{i}]' for i in np.unravel_index(index, shape)) if shape else ''


def is_number(text: str | bytes) -> bool:
    """True if it is written as a plain decimal number: ASCII digits, sign, point and exponent."""
    token = text.encode('ascii', 'replace') if isinstance(text, str) else text
    if token.translate(None, DIGITS.encode()):
        return False
    try:
        float(token)
    except ValueError:
        return False
    return True


def parse_numbers(tokens: Iterable[bytes]) -> list[float]:
    """Plain decimal numbers; see :func:`is_number`.

    Raises:
        ValueError: one of them is not; the message quotes it.
    """
    tokens = list(tokens)
    if not b''.join(tokens).translate(None, DIGITS.encode()):
        try:
            return list(map(float, tokens))
        except ValueError:
            pass
    wrong = next(token for token in tokens if not is_number(token))
    raise UserError(f'{shown(wrong.decode("ascii", "replace"))} is not a number')


def shown(value: Any) -> str:
    """A value from a file for messages: one line, even if it is large or deep."""
    text = ' '.join(reprlib.repr(value).split())
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}...'

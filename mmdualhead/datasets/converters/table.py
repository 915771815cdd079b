"""Tables of numbers in text: one line per frame, one field per coordinate.

T frames, V joints, C channels.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain, takewhile
from typing import NamedTuple

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.reading import DIGITS, is_number, shown, split_lines

DELIMITERS = '\t;,'
"""In the order in which they are preferred, since a comma may be a decimal mark; otherwise blanks."""

FEW_COLUMNS = 9
"""So many consecutive numbers 1, 2, 3, ... may be coordinates; more are unlikely to be."""

COMMENT = '#'
MISSING = re.compile(r'\s*([-+]?nan)?\s*', re.IGNORECASE)

AXES = ('x', 'y', 'z', 'score')
PATTERNS = (AXES[:2], AXES[:3], (*AXES[:2], 'score'), AXES)
"""The possible columns of a joint."""

SCORES = frozenset(['vis', 'visibility', 'conf', 'confidence', 'score', 'prob', 'likelihood'])
LETTERS = frozenset('vcsp')
"""Names of scores; a single letter only in names without an axis, since joints also have letters."""

CLOCKS = frozenset(['frame', 'time', 'timestamp', 'ms'])
"""Names of the first columns, if they number or time the frames."""

WORD = re.compile('[A-Z]+(?![a-z])|[A-Z]?[a-z]+')
NAME = re.compile(r'[^\W\d_]+$|.*[^\W\d_eE]')
"""A name has a letter that no number has, or letters alone; ``0_0`` and ``1,5`` are damaged numbers."""


class Table(NamedTuple):
    """The contents of a table.

    Args:
        names: of the columns; None without a header.
        numbers: (T, columns) float64, NaN where the table has an empty field or ``nan``.
    """

    names: list[str] | None
    numbers: np.ndarray


def parse_table(text: str) -> Table:
    """Read a table of numbers, with any of the usual delimiters and either decimal mark.

    The first line is a header if it contains no number, or if it counts 0, 1, 2, ... as pandas does. A first
    column without a name that also counts is pandas' index and is ignored. Empty lines, and lines that begin
    with ``#`` before the first row, are ignored, and so are columns of names (``landmark_name``).

    Raises:
        ValueError: a field is not a number, or lines differ in length; the message names line and column.
    """
    lines = [(i, line) for i, line in enumerate(split_lines(text), 1) if line.strip()]
    comments = list(takewhile(lambda numbered: numbered[1].lstrip().startswith(COMMENT), lines))
    lines = lines[len(comments) :]
    if not lines:
        return Table(None, np.empty((0, 0)))
    delimiter = _find_delimiter([line for _, line in lines])
    numbers, rows = [number for number, _ in lines], _split([line for _, line in lines], delimiter)
    _check_widths(numbers, rows)
    _check_comments(comments, delimiter, len(rows[0]))
    if delimiter != ',' and _has_decimal_comma(rows[1:] or rows):
        rows = [rows[0], *([field.replace(',', '.') for field in row] for row in rows[1:])]
        rows[0] = [_with_point(field) for field in rows[0]]
    names, width = _find_header(rows[0], numbers[0]), len(rows[0])
    if names is not None:
        numbers, rows = numbers[1:], rows[1:]
        kept = [i for i, name in enumerate(names) if 'name' not in _words(name)]
        names, rows, width = [names[i] for i in kept], [[row[i] for i in kept] for row in rows], len(kept)
    values = _to_numbers(numbers, rows).reshape(len(rows), width)
    if names is None or names[0]:
        return Table(names, values)
    if not np.array_equal(values[:, 0], np.arange(len(values))):
        raise UserError('column 1 has no name, and does not count the lines 0, 1, 2, ...')
    return Table(names[1:], values[:, 1:])


def _find_delimiter(lines: Sequence[str]) -> str | None:
    """The one that occurs in most lines; None for blanks."""
    counts = {delimiter: sum(delimiter in line for line in lines) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=counts.__getitem__)
    return best if counts[best] else None


def _split(lines: Sequence[str], delimiter: str | None) -> list[list[str]]:
    if delimiter is None:
        return [line.split() for line in lines]
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UserError(f'not a table ({error})') from None
    if len(rows) < len(lines):
        raise UserError('not a table (a quoted field continues on the next line)')
    return rows


def _check_widths(numbers: Sequence[int], rows: Sequence[Sequence[str]]) -> None:
    widths = list(map(len, rows))
    if len(set(widths)) > 1:
        ((usual, _),) = Counter(widths).most_common(1)
        odd = next(i for i, width in enumerate(widths) if width != usual)
        raise UserError(f'line {numbers[odd]}: {widths[odd]} columns, while other lines have {usual}')


def _check_comments(comments: Sequence[tuple[int, str]], delimiter: str | None, width: int) -> None:
    """Reject a line of numbers whose first character is damaged."""
    for number, comment in comments:
        fields = comment.split(delimiter)
        if len(fields) == width and any(is_number(field.strip()) for field in fields):
            raise UserError(f'line {number}: a comment that contains numbers like the lines below it')


def _has_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    fields = ''.join(chain.from_iterable(rows))
    return ',' in fields and '.' not in fields


def _with_point(field: str) -> str:
    """A number with a decimal comma with a point; a name is unchanged."""
    changed = field.replace(',', '.')
    return changed if is_number(changed.strip()) else field


def _find_header(row: Sequence[str], line: int) -> list[str] | None:
    """The names in a first line; None if it is a line of numbers, or possibly a damaged one."""
    names = [field.strip() for field in row]
    named = names[1:] if len(names) > 1 and not names[0] else names
    if len(named) > 1 and all(map(is_number, named)):
        first = float(named[0])
        if first not in (0, 1) or [float(name) - first for name in named] != list(range(len(named))):
            return None
        if first == 1 and len(named) <= FEW_COLUMNS:
            return None
        if first == 1:
            raise UserError(
                f'line {line}: it counts 1, 2, ..., which may be a header or a frame; name the columns or '
                'delete it'
            )
        return names
    is_header = all(NAME.match(name) and not MISSING.fullmatch(name) for name in named)
    return names if is_header else None


def _to_numbers(lines: Sequence[int], rows: Sequence[Sequence[str]]) -> np.ndarray:
    fields = list(chain.from_iterable(rows))
    # Most tables contain only plain numbers: one check of all characters, and float rejects the rest.
    if not ''.join(fields).encode().translate(None, f'{DIGITS} '.encode()):
        try:
            return np.array(list(map(float, fields)))
        except ValueError:
            pass
    for index, field in enumerate(fields):
        if not MISSING.fullmatch(field) and not is_number(field.strip()):
            row, column = divmod(index, len(rows[0]))
            raise UserError(f'line {lines[row]}, column {column + 1}: {shown(field)} is not a number')
    return np.array([float(field.strip() or 'nan') for field in fields])


def one_line_per_frame(table: Table) -> Table:
    """A table without its first columns, if they number or time the frames, and with one line per frame.

    Args:
        table: it may have a line for each joint, in columns such as ``frame, landmark, x, y, z, visibility``.

    Raises:
        ValueError: frames or joints are not in order, or some are missing; the message names the first.
    """
    names, numbers = table.names or [], table.numbers
    first = sum(1 for _ in takewhile(lambda name: CLOCKS & _words(name).keys(), names))
    axes = [_axis(name) for name in names[first:]]
    if not first or not {'x', 'y'} <= set(axes) or not len(numbers):
        return table
    clocks, names = names[:first], names[first:]
    times, numbers = numbers[:, :first], numbers[:, first:]
    if axes[0] is None and axes.count('x') == 1:
        # The first frame shows how many joints there are.
        joints = int((times == times[0]).all(1).cumprod().sum())
        whole = np.arange(len(times)) // joints * joints
        odd = (times != times[whole]).any(1) | (numbers[:, 0] != np.arange(len(times)) % joints)
        if odd.any() or len(times) % joints:
            i = int(odd.argmax()) if odd.any() else len(times) - 1
            raise UserError(f'row {i + 1} below the header: expected joints 0 to {joints - 1} of each frame')
        times, names = times[::joints], names[1:] * joints
        numbers = numbers[:, 1:].reshape(len(times), -1)
    for clock, column in zip(clocks, times.T, strict=True):
        steps = np.diff(column)
        uneven = steps <= 0 if 'frame' not in _words(clock) else (steps <= 0) | (steps != steps[:1])
        if uneven.any():
            i = int(uneven.argmax())
            raise UserError(
                f'column {clock}: {column[i + 1]:g} follows {column[i]:g}; frames are missing or not in order'
            )
    return Table(names, numbers)


def joint_columns(names: Sequence[str]) -> tuple[str, ...] | None:
    """The meaning of a joint's columns, from their names, such as ``left_hip_x`` or ``z12``.

    Returns:
        One of :data:`PATTERNS`; None if the names do not contain x and y.

    Raises:
        ValueError: they do, but not joint after joint; the message names the column.
    """
    axes = list(map(_axis, names))
    if not {'x', 'y'} <= set(axes):
        return None
    for pattern in PATTERNS:
        if len(axes) % len(pattern) == 0 and axes == list(pattern) * (len(axes) // len(pattern)):
            return pattern
    width = next((i for i in range(1, len(axes)) if axes[i] == axes[0]), len(axes))
    odd = next((i for i, axis in enumerate(axes) if axis != AXES[i % width % 4]), 0)
    raise UserError(
        f'column {odd + 1} is {names[odd]!r}: expected x, y(, z)(, score) of each joint, joint after joint'
    )


def joint_names(names: Sequence[str], columns: int) -> tuple[str, ...]:
    """Names of joints of so many columns each, or empty ones.

    ``left_hip_x``, ``x (left hip)`` and ``LeftHipX`` all become ``left hip``.
    """
    return tuple(map(_joint, names[::columns]))


def _joint(name: str) -> str:
    words = [word.lower() for word in re.findall(rf'{WORD.pattern}|\d+', name)]
    ends = [i for i, word in enumerate(words) if _axis(word)]
    return ' '.join(word for i, word in enumerate(words) if i not in ends[-1:])


def _axis(name: str) -> str | None:
    words = _words(name)
    if SCORES & words.keys():
        return 'score'
    axes = [word for word in words if word in AXES]
    return axes[-1] if axes else 'score' if LETTERS & words.keys() else None


def _words(name: str) -> dict[str, None]:
    """The words in a name, in their order."""
    return dict.fromkeys(word.lower() for word in WORD.findall(name))

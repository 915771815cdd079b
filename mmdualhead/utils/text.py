"""Names and numbers in messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SHOWN = 5
"""The number of names in a message."""


def printable(text: object) -> str:
    r"""Text for a terminal or a log, with control characters escaped: ESC as ``\x1b``.

    These are control characters, including line breaks, and those that change the writing direction or denote
    bytes that are not text.
    """
    return ''.join(
        char if char.isprintable() or unicodedata.category(char) == 'Zs' else ascii(char)[1:-1]
        for char in str(text)
    )


def printable_lines(text: object) -> str:
    """:func:`printable` text that may have several lines, and tabs in them."""
    return re.sub(r'[^\n\t]+', lambda part: printable(part.group()), str(text))


def plural(count: int, noun: str) -> str:
    """``1 clip``, ``2,000 clips``."""
    return f'{count:,} {noun}{"" if count == 1 else "s"}'


def and_more(names: Iterable[object], shown: int = SHOWN) -> str:
    """The first few names: ``a, b, c, d, e and 2 more``."""
    listed = list(map(printable, names))
    rest = len(listed) - shown
    return ', '.join(listed[:shown]) + (f' and {rest} more' if rest > 0 else '')


def name_of(persons: Iterable[object]) -> str:
    """The ids of a person or a pair as text: ``7``, or ``7+9``."""
    return '+'.join(map(str, persons))


def with_name(name: str, reason: str) -> str:
    """The reason of an error, after the name of what it is about unless it contains that."""
    is_named = re.search(rf"(^|[\s'\"]){re.escape(name)}([:,'\"]|$)", reason)
    return reason if is_named else f'{name}: {reason}'


def clips_named(names: Iterable[object]) -> str:
    """Their number and the first few names: ``7 clips: a, b, c, d, e and 2 more``."""
    listed = list(names)
    return f'{plural(len(listed), "clip")}: {and_more(listed)}'

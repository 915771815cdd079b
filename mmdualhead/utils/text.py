"""Names and numbers in messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SHOWN = 5
"""How many names a message lists."""


def printable(text: object) -> str:
    r"""Text for a terminal or a log, where what would control it is spelled out: ESC as ``\x1b``.

    These are control characters, line breaks too, and those that turn the direction of writing or stand for
    bytes that are no text.
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


def clips_named(names: Iterable[object]) -> str:
    """Their number and the first few names: ``7 clips: a, b, c, d, e and 2 more``."""
    listed = list(names)
    return f'{plural(len(listed), "clip")}: {and_more(listed)}'

"""Names and numbers in messages."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 5


def plural(count: int, noun: str) -> str:
    """``1 clip``, ``2,000 clips``."""
    return f'{count:,} {noun}{"" if count == 1 else "s"}'


def and_more(names: Iterable[object], shown: int = SHOWN) -> str:
    """The first few names: ``a, b, c, d, e and 2 more``."""
    listed = list(map(str, names))
    rest = len(listed) - shown
    return ', '.join(listed[:shown]) + (f' and {rest} more' if rest > 0 else '')


def clips_named(names: Iterable[object]) -> str:
    """Their number and the first few names: ``7 clips: a, b, c, d, e and 2 more``."""
    listed = list(names)
    return f'{plural(len(listed), "clip")}: {and_more(listed)}'

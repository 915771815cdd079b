"""Splits: which of a file's belong together, and which clips must not be in two of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mmdualhead.datasets.annotations.checks import AnnotationError

ROLES = {
    'train': 'train',
    'trainval': 'train',
    'val': 'test',
    'valid': 'test',
    'validation': 'test',
    'test': 'test',
}


def protocol_and_role(split: str) -> tuple[str, str | None]:
    """Take ``xsub_train`` apart into ``('xsub', 'train')``, ``test1`` into ``('1', 'test')``.

    The role is ``train``, ``test`` (val and the like, too) or, where no part of the name says, None.
    """
    parts = re.findall(r'[a-z]+|\d+|[^a-z\d_\-]+', split.lower())
    roles = [ROLES[part] for part in parts if part in ROLES]
    protocol = '_'.join(part for part in parts if part not in ROLES)
    return protocol, roles[0] if len(set(roles)) == 1 else None


def counterparts(split: str, others: Iterable[str]) -> list[str]:
    """The splits that must share no clip with ``split``: those on the other side of the same protocol."""
    protocol, role = protocol_and_role(split)
    if role is None:
        return []
    opposite = 'test' if role == 'train' else 'train'
    return [other for other in others if protocol_and_role(other) == (protocol, opposite)]


def choose_split(split: str | None, known: Iterable[str], path: object) -> str:
    """The split, after checking that the file has it.

    Raises:
        ValueError: no split was asked for, or one that the file lacks.
    """
    known = list(known)
    if split is None:
        raise AnnotationError(f'{path}: say which split to use; the file has {known}')
    if split not in known:
        close = difflib.get_close_matches(split, known, n=1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        raise AnnotationError(f'{path}: no split {split!r}; the file has {known}{hint}')
    return split

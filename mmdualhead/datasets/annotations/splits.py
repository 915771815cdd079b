"""Splits: which belong together, and which clips must not be in two of them."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.clips import Clips, ClipTable, clip_name, describe_clips
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.utils.text import plural

ROLES = dict.fromkeys(('train', 'trainval'), 'train') | dict.fromkeys(
    ('val', 'valid', 'validation', 'test'), 'test'
)
WHOLE = 'all'
"""The one split of a file that has no splits."""

NTU_NAME = re.compile(r'S\d{3}C\d{3}P(\d{3})R\d{3}A\d{3}')
SHARE_SUBJECTS = re.compile(r'(^|_)(x|cross)?_?(view|set|setup|camera)s?(_|$)')
"""Protocols whose splits do not differ in the subjects."""


def protocol_and_role(split: str) -> tuple[str, str | None]:
    """Split ``xsub_train`` into ``('xsub', 'train')``, ``test1`` into ``('1', 'test')``.

    The role is ``train``, ``test`` (also of val and the like) or None if no part of the name defines it.
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


def choose_split(split: str | int | None, known: Iterable[str], path: object) -> str:
    """The split, after checking that the file has it.

    Raises:
        UserError: no split was given, or the file lacks it.
    """
    known = list(known)
    if split is None and known == [WHOLE]:
        return WHOLE
    if split is None:
        raise UserError(f'{path}: choose a split; the file has {known}')
    split = str(split)  # folds may be numbers
    if split not in known:
        close = difflib.get_close_matches(split, known, n=1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        raise UserError(f'{path}: no split {split!r}; the file has {known}{hint}')
    return split


def in_both(clips: Collection[Any], name_of: Callable[[Any], str], split: str, other: str) -> list[Finding]:
    """The error for clips that are in a split and also in its counterpart."""
    expected = f'no clip in both {split!r} and {other!r}'
    return describe_clips(Level.ERROR, 'split', expected, clips, lambda clip: (name_of(clip), 'in both'))


def check_leaks(
    clips: Clips, table: ClipTable, others: Mapping[str, Clips], split: str, multi_class: bool = False
) -> list[Finding]:
    """The warnings about recordings and subjects of a test split that are also trained on.

    Args:
        clips: the clips of the test split.
        table: of these clips.
        others: the clips of its counterparts, by name.
        split: its name.
        multi_class: labels are lists.
    """
    found: list[Finding] = []
    for other, trained in others.items():
        duplicates = find_duplicates(clips, table, trained, multi_class)
        found += describe_duplicates(duplicates, other, len(clips))
        found += shared_subjects(clips.infos(), trained.infos(), split, other)
    return found


def subject_of(clip: Mapping[str, Any]) -> str | None:
    """The subject of a clip, by its field ``subject`` or a name like NTU RGB+D's; None if neither has it."""
    if clip.get('subject') is not None:
        return str(clip['subject'])
    named = NTU_NAME.match(str(clip.get('frame_dir')))
    return named.group(1) if named else None


def shared_subjects(
    clips: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]], split: str, other: str
) -> list[Finding]:
    """The warning about clips whose subjects are also in ``others``, the clips of the other split.

    There is none if the subjects are unknown, or if the protocol shares them.
    """
    if SHARE_SUBJECTS.search(protocol_and_role(split)[0]):
        return []
    known = {subject_of(clip) for clip in others} - {None}
    shared = [
        (str(clip.get('frame_dir')), f'subject {who}') for clip in clips if (who := subject_of(clip)) in known
    ]
    number = plural(len({who for _, who in shared}), 'subject')
    advice = f'{number} in both. Accuracy on this split is not accuracy on unseen subjects.'
    return describe_clips(Level.WARNING, 'subject', f'no subject of {other!r}', shared, tuple, advice)


def find_duplicates(
    clips: Clips, table: ClipTable, others: Clips, multi_class: bool = False
) -> dict[str, str]:
    """Find clips that are the same recording as one of ``others``: their keypoints are equal.

    Only clips of equal shape and equal mean square are compared, so it costs little more than the tables.

    Args:
        clips: the clips of a split.
        table: of these clips.
        others: the clips of another split.
        multi_class: labels are lists.

    Returns:
        The duplicate of each clip that has one, by name; empty if others are malformed.
    """
    other_table, malformed = others.table(multi_class)
    if malformed:
        return {}
    candidates = defaultdict(list)
    for row, key in enumerate(_keys(other_table)):
        candidates[key].append(row)
    found = {}
    for row, key in enumerate(_keys(table)):
        duplicate = next((i for i in candidates.get(key, ()) if _are_equal(clips[row], others[i])), None)
        if duplicate is not None:
            found[clip_name(clips[row], row)] = clip_name(others[duplicate], duplicate)
    return found


def _keys(table: ClipTable) -> Iterable[tuple]:
    """A key that is equal for equal keypoints."""
    return zip(*table.shape.T.tolist(), table.power.tolist(), strict=True)


def _are_equal(clip: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return clip['keypoint'].any() and np.array_equal(clip['keypoint'], other['keypoint'])


def describe_duplicates(duplicates: Mapping[str, str], split: str, clips: int) -> list[Finding]:
    """The warning about clips that have duplicates in another split, ``split``; ``clips`` were checked."""
    return describe_clips(
        Level.WARNING,
        'keypoint',
        f'no clip with the keypoints of one in {split!r}',
        duplicates.items(),
        lambda pair: (pair[0], f'equals {pair[1]}'),
        'Accuracy on this split includes them; report it also without them, on the other '
        f'{clips - len(duplicates)} clips: --without-duplicates of tools/ensemble.py and tools/analyze.py.',
    )

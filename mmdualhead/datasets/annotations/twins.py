"""Clips of a test split that are the same recording as a training clip, under another name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmdualhead.datasets.annotations.checks import ClipTable, Finding, clip_name

if TYPE_CHECKING:
    from mmdualhead.datasets.annotations.files import AnnotationFile


def find_twins(
    file: AnnotationFile, clips: Sequence[dict], table: ClipTable, split: str, multi_class: bool
) -> dict[str, str]:
    """Look for clips whose keypoints equal those of a clip in another split, number by number.

    Only clips of equal shape and equal mean square are compared, so it costs little more than the tables.

    Args:
        file: the annotations.
        clips: those of a split.
        table: of these clips.
        split: the other split.
        multi_class: whether labels are lists.

    Returns:
        The twin of each clip that has one, by name; none at all if the other split is malformed.
    """
    others = file.select(split)
    other_table, malformed = file.table(others, multi_class)
    if malformed:
        return {}
    candidates = defaultdict(list)
    for row, key in enumerate(_keys(other_table)):
        candidates[key].append(row)
    found = {}
    for row, key in enumerate(_keys(table)):
        twin = next((i for i in candidates.get(key, ()) if _are_equal(clips[row], others[i])), None)
        if twin is not None:
            found[clip_name(clips[row], row)] = clip_name(others[twin], twin)
    return found


def describe_twins(twins: Mapping[str, str], split: str, clips: int) -> Finding:
    """The note on clips that have a twin.

    Args:
        twins: of :func:`find_twins`, not empty.
        split: the other split.
        clips: how many were looked at.
    """
    return Finding.of(
        'keypoint',
        f'no clip with the keypoints of one in {split!r}',
        [(name, f'equals {twin}') for name, twin in twins.items()],
        f'An accuracy on this split counts them; say it for the other {clips - len(twins)} clips, too: '
        '--without-twins of tools/ensemble.py and tools/analyze.py.',
    )


def _keys(table: ClipTable) -> list[tuple]:
    """What equal keypoints have in common."""
    return [(*map(int, shape), float(power)) for shape, power in zip(table.shape, table.power, strict=True)]


def _are_equal(clip: dict, other: dict) -> bool:
    keypoint = np.asarray(clip['keypoint'])
    return bool(keypoint.any()) and np.array_equal(keypoint, np.asarray(other['keypoint']))

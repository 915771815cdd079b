"""A directory of raw files, and what readers of them share. M persons, T frames, V joints, C channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmdualhead.datasets.recording import Recording

UNFINISHED_SUFFIX = '.unfinished'
"""Suffix of the folder with partial results."""

LOST_FRAMES = 'frames without a person dropped'


@dataclass(frozen=True, kw_only=True)
class RawDataset:
    """A directory of raw files, ready to be converted.

    Args:
        meta: metadata for the annotation file: ``dataset``, ``layout``, ``classes`` (names, or None) and, if
            the reader already normalizes, ``normalized=True``.
        recordings: the raw files to convert, in the order of the result.
        read: reads one of them, with its label; a module-level function (or a partial of one), so that worker
            processes can load it. Raises :class:`~mmdualhead.datasets.recording.EmptyRecording`, or another
            ValueError if the file is malformed.
        left_out: clips that the protocol excludes, with the reason.
        notes: sentences for the summary.
    """

    meta: Mapping[str, Any]
    recordings: Sequence[Recording]
    read: Callable[[Recording], Recording]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def as_float32(numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are stored; too large ones become infinite, which :func:`.convert` rejects."""
    with np.errstate(over='ignore'):
        return np.asarray(numbers).astype(np.float32)


def drop_lost_frames(keypoint: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """The frames of a clip (M, T, V, C) that are not all zero, and the number of dropped frames."""
    kept = keypoint.any(axis=(0, 2, 3))
    return keypoint[:, kept], {LOST_FRAMES: int((~kept).sum())}

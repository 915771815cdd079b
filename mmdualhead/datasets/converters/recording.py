"""The input and output of readers: raw recordings, and the clips read from them.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.errors import UserError

UNFINISHED_SUFFIX = '.unfinished'
"""Suffix of the folder with partial results."""

STORE_SUFFIX = '.store'

LOST_FRAMES = 'frames without a person dropped'


class EmptyRecording(UserError):  # noqa: N818 (it names the state of the recording)
    """A raw file is well-formed but contains no person. The message lacks the file's name."""


@dataclass(frozen=True)
class Recording:
    """One raw file, not yet read.

    Args:
        name: name of the clip in the annotation file (``frame_dir``).
        path: the raw file.
        label: class index, 0-based; None if only the file contains it.
        subject: the performer, if known; for the summary.
        splits: the splits that the clip belongs to.
        img_shape: (height, width) of the image of its joints, if given by a source other than the file.
    """

    name: str
    path: Path
    label: int | None = None
    subject: str | None = None
    splits: tuple[str, ...] = ()
    img_shape: tuple[int, int] | None = None


class Clip(NamedTuple):
    """The result of reading a raw file.

    Args:
        keypoint: (M, T, V, C) float32.
        label: class index, 0-based; None if unknown.
        counts: what the reader did, and how often, for the summary, such as ``{LOST_FRAMES: 3}``.
        keypoint_score: (M, T, V) float32 confidences, if there are any in addition to the coordinates.
        img_shape: (height, width) of the image in whose pixels the joints are.
        layout: of the joints, if the file determines it.
        ids: of the M persons, if they are tracked.
        frame_rate: frames per second, if the file has it.
        regroup: it comes from a table that does not tell whether a joint has 2 or 3 columns: ``keypoint`` may
            have another V and C of the same product.
        numbers: of its frames in the video that they are from, if the file has them.
    """

    keypoint: np.ndarray
    label: int | None = None
    counts: Mapping[str, int] = {}
    keypoint_score: np.ndarray | None = None
    img_shape: tuple[int, int] | None = None
    layout: str | None = None
    ids: tuple[Hashable, ...] | None = None
    frame_rate: float | None = None
    regroup: bool = False
    numbers: range | None = None


@dataclass(frozen=True, kw_only=True)
class RawDataset:
    """A directory of raw files, ready to be converted.

    Args:
        meta: metadata for the annotation file: ``dataset``, ``layout``, ``classes`` (names, or None) and, if
            the reader already normalizes, ``normalized=True``.
        recordings: the raw files to convert, in the order of the result.
        read: reads one of them; a module-level function (or a partial of one), so that worker processes can
            load it. Raises :class:`EmptyRecording`, or another ValueError if the file is malformed.
        left_out: clips that the protocol excludes, with the reason.
        notes: sentences for the summary.
    """

    meta: Mapping[str, Any]
    recordings: Sequence[Recording]
    read: Callable[[Recording], Clip]
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

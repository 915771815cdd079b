"""What converters consist of: raw recordings, and the clips read from them.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.errors import UserError

UNFINISHED_SUFFIX = '.unfinished'
"""What is appended to the name of a result for the folder of what was read so far."""

STORE_SUFFIX = '.store'

LOST_FRAMES = 'frames without a person dropped'


class EmptyRecording(UserError):  # noqa: N818 (it names the state of the recording)
    """A raw file is well-formed and holds no person. The message lacks the file's name."""


@dataclass(frozen=True)
class Recording:
    """One raw file, not yet read.

    Args:
        name: what the annotation file calls the clip (``frame_dir``).
        path: the raw file.
        label: class index, 0-based; None where only the file itself tells it.
        subject: who performs, where the data set tells; for the summary.
        splits: the splits that the clip belongs to.
        img_shape: (height, width) of the picture that its joints were found in, where something else than
            the file says it.
    """

    name: str
    path: Path
    label: int | None = None
    subject: str | None = None
    splits: tuple[str, ...] = ()
    img_shape: tuple[int, int] | None = None


class Clip(NamedTuple):
    """What a reader gets out of a raw file.

    Args:
        keypoint: (M, T, V, C) float32.
        label: class index, 0-based; None where nothing says it.
        counts: what the reader did and how often, for the summary, such as ``{LOST_FRAMES: 3}``.
        keypoint_score: (M, T, V) float32 confidences, where there are any beside the coordinates.
        img_shape: (height, width) of the picture in whose pixels the joints are.
    """

    keypoint: np.ndarray
    label: int | None = None
    counts: Mapping[str, int] = {}
    keypoint_score: np.ndarray | None = None
    img_shape: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class RawDataset:
    """A directory of raw files, ready to be converted.

    Args:
        meta: goes into the annotation file: ``dataset``, ``layout``, ``classes`` (names, or None) and, where
            the reader does what normalization is for, ``normalized=True``.
        recordings: the raw files to convert, in the order of the result.
        read: reads one of them; a module-level function (or a partial of one), so that worker processes
            can have it. Raises :class:`EmptyRecording`, or another ValueError where the file is malformed.
        left_out: clips that the protocol leaves out, with the reason.
        notes: sentences for the summary.
    """

    meta: Mapping[str, Any]
    recordings: Sequence[Recording]
    read: Callable[[Recording], Clip]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def as_float32(numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are stored; what is too large becomes infinite, which :func:`.convert` refuses."""
    with np.errstate(over='ignore'):
        return np.asarray(numbers).astype(np.float32)


def drop_lost_frames(keypoint: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """The frames of a clip (M, T, V, C) in which anything is not zero, and the count of those that went."""
    kept = keypoint.any(axis=(0, 2, 3))
    return keypoint[:, kept], {LOST_FRAMES: int((~kept).sum())}

"""Clips of an annotation file of either kind, and the table used to check them.

N clips, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.errors import Finding, Level
from mmdualhead.utils.text import SHOWN, plural

LABELS = 2**31
"""Labels are smaller, to fit into stores."""

HUGE = float(np.finfo(np.float64).max)


class ClipTable(NamedTuple):
    """One row per clip.

    Args:
        label: (N,) integers; where labels are lists, that of each which is most likely not a class.
        shape: (N, 4) integers, the keypoints' (M, T, V, C).
        power: (N,) mean square of the keypoints; not finite where they are not.
    """

    label: np.ndarray
    shape: np.ndarray
    power: np.ndarray


class ClipFacts(NamedTuple):
    """Metadata of clips without their keypoints, small enough to keep.

    Args:
        labels: (N,) classes; 0 where a clip has several.
        persons: (N,) M of the keypoints.
        keys: (N,) hashes of name, class and number of frames, to recognize clips in other files.
    """

    labels: np.ndarray
    persons: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, names: Iterable[str], labels: Iterable[Any], shapes: Any) -> ClipFacts:
        """The facts by name, label and (M, T) of each clip."""
        persons, frames = np.asarray(shapes).T
        lines = map('{}|{}|{}'.format, names, labels, frames)
        hashes = b''.join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
        single = np.array([int(label) if is_integer(label) else 0 for label in labels])
        return cls(single, persons, np.frombuffer(hashes, '<u8'))


class Clips(Sequence):
    """Clips of an annotation file of either kind; by default, they are read one after the other."""

    in_memory: bool = True
    """True if the clips are in memory already, False if they are read on access."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Any:
        """One annotation, or for a slice, array of rows or mask, a part of the clips."""

    def infos(self) -> Iterable[Mapping[str, Any]]:
        """The annotations, possibly without label, total_frames and keypoints, if that is faster."""
        return iter(self)

    def table(self, multi_class: bool = False) -> tuple[ClipTable, list[Finding]]:
        """One row per clip, and the faults of those that cannot be in it.

        Args:
            multi_class: labels are lists.
        """
        return tabulate(self, multi_class)

    def facts(self) -> ClipFacts | None:
        """The metadata of the clips; None if there are no clips, or one has no keypoints."""
        known = []
        for row, clip in enumerate(self):
            if not isinstance(clip, Mapping) or 'keypoint' not in clip:
                return None
            known.append((clip_name(clip, row), clip.get('label'), np.shape(clip['keypoint'])[:2]))
        return ClipFacts.of(*zip(*known, strict=True)) if known else None


class ClipList(Clips):
    """Annotations in memory."""

    def __init__(self, clips: Iterable[Any]) -> None:
        self._clips = list(clips)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ClipList(self._clips[index])
        if not isinstance(index, np.ndarray) or index.ndim == 0:
            return self._clips[index]
        if index.dtype == bool:
            return ClipList(compress(self._clips, index))
        return ClipList(self._clips[row] for row in index)


def clip_name(clip: Mapping[str, Any], position: int) -> str:
    """The name of an annotation for messages, even if it has none."""
    name = clip.get('frame_dir', clip.get('filename')) if isinstance(clip, Mapping) else None
    return f'#{position}' if name is None else str(name)


def is_integer(value: Any) -> bool:
    """An integer of Python's or numpy's within 32 bits, also as an array of no dimensions; not a bool."""
    if isinstance(value, np.ndarray):
        value = value[()] if value.ndim == 0 else None
    return (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and -LABELS <= int(value) < LABELS
    )


def describe_clips(
    level: Level,
    field: str,
    expected: str,
    clips: Collection[Any],
    describe: Callable[[Any], tuple[str, str]],
    advice: str = '',
) -> list[Finding]:
    """One finding on all clips that differ from what is expected; none if there are no such clips.

    Args:
        level: the level of the finding.
        field: the field of the annotations.
        expected: the expected value.
        clips: those that differ.
        describe: returns the name of one and the value found in it.
        advice: what was or can be done about it.
    """
    if not len(clips):
        return []
    lines = [f'expected {expected}; {plural(len(clips), "clip")} differ{"s" if len(clips) == 1 else ""}:']
    lines += [f'    {name}: {found}' for name, found in map(describe, islice(clips, SHOWN))]
    lines += [f'    ... and {len(clips) - SHOWN:,} more'] if len(clips) > SHOWN else []
    lines += [f'  {advice}'] if advice else []
    return [Finding(level, field, '\n'.join(lines))]


def entry_faults(clip: Mapping[str, Any], multi_class: bool = False) -> list[tuple[str, str, str]]:
    """(field, expected, found) of each fault that makes an annotation unreadable."""
    if not isinstance(clip, Mapping):
        return [('annotation', 'a dict', type(clip).__name__)]
    name, label = clip.get('frame_dir', clip.get('filename')), clip.get('label')
    faults = [
        (key, 'to be present', f'missing; fields: {sorted(map(str, clip))}')
        for key in ('frame_dir', 'label', 'keypoint')
        if key not in clip and (key != 'frame_dir' or 'filename' not in clip)
    ]
    if not isinstance(name, str) and ('frame_dir' in clip or 'filename' in clip):
        faults.append(('frame_dir', 'a string', f'{name!r} ({type(name).__name__})'))
    if 'label' in clip and not (_are_integers(label) if multi_class else is_integer(label)):
        expected = 'a list of integers' if multi_class else 'an integer'
        faults.append(('label', expected, f'{label!r} ({type(label).__name__})'))
    return faults + _keypoint_faults(clip) if 'keypoint' in clip else faults


def _are_integers(labels: Any) -> bool:
    return (
        isinstance(labels, list | tuple | np.ndarray)
        and np.ndim(labels) == 1
        and all(map(is_integer, labels))
    )


def _furthest(labels: Iterable[int]) -> int:
    """The label that is most likely not a class: a negative one, or the largest."""
    return max(labels, key=lambda label: (label < 0, label), default=0)


def _keypoint_faults(clip: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    keypoint, score = clip['keypoint'], clip.get('keypoint_score')
    if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind not in 'fiu' or keypoint.ndim != 4:
        kind = type(keypoint).__name__
        if isinstance(keypoint, np.ndarray):
            kind = f'{keypoint.dtype} array of shape {keypoint.shape}'
        return [('keypoint', 'a numeric array (M, T, V, C)', kind)]
    shape, faults = keypoint.shape, []
    if shape[1] == 0:
        faults.append(('keypoint', 'at least one frame', f'shape {shape}'))
    if (frames := clip.get('total_frames', shape[1])) != shape[1]:
        faults.append(('total_frames', "the keypoints' T", f'{frames!r}, keypoint {shape}'))
    if score is not None and np.shape(score) != shape[:3]:
        faults.append(('keypoint_score', "the keypoints' (M, T, V)", f'{np.shape(score)}, keypoint {shape}'))
    return faults


def mean_square(keypoint: np.ndarray) -> float:
    """One pass over the data that finds non-finite, empty and outlying clips."""
    if keypoint.dtype not in (np.float32, np.float64):
        keypoint = keypoint.astype(np.float32)
    power = float(np.vdot(keypoint, keypoint)) / max(keypoint.size, 1)
    if math.isfinite(power) or not np.isfinite(keypoint).all():
        return power
    # Finite numbers whose squares are too large for their type.
    return mean_square(keypoint.astype(np.float64)) if keypoint.dtype == np.float32 else HUGE


def tabulate(
    clips: Sequence[Mapping[str, Any]], multi_class: bool = False
) -> tuple[ClipTable, list[Finding]]:
    """The table of annotations in memory, and the faults of those that cannot be in it.

    Args:
        clips: annotations.
        multi_class: labels are lists.
    """
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    sound = []
    for row, clip in enumerate(clips):
        faults = entry_faults(clip, multi_class)
        for what, expected, seen in faults:
            found.setdefault((what, expected), []).append((clip_name(clip, row), seen))
        if not faults:
            keypoint, has_scores = clip['keypoint'], clip.get('keypoint_score') is not None
            label = _furthest(clip['label']) if multi_class else clip['label']
            numbers = (label, keypoint.shape, mean_square(keypoint))
            sound.append((*numbers, has_scores, clip_name(clip, row)))
    labels, shape, power, scored, names = zip(*sound, strict=True) if sound else ((),) * 5
    findings = [
        finding
        for (field, expected), named in found.items()
        for finding in describe_clips(Level.ERROR, field, expected, named, tuple)
    ]
    findings += unscored_clips(np.array(scored, bool), names.__getitem__)
    shapes = np.array(shape, np.int64).reshape(-1, 4)
    return ClipTable(np.array(labels, np.int64), shapes, np.array(power, np.float64)), findings


def unscored_clips(scored: np.ndarray, name: Callable[[int], str]) -> list[Finding]:
    """Find clips without scores if others have some; in a batch, theirs would be 0.

    Args:
        scored: (N,) True for clips with scores.
        name: of a clip, by its row.
    """
    if scored.all() or not scored.any():
        return []
    without, expected = np.flatnonzero(~scored).tolist(), 'scores in all clips of a split or in none'
    return describe_clips(
        Level.ERROR, 'keypoint_score', expected, without, lambda row: (name(row), 'missing')
    )

"""What can be wrong with annotations, found before training starts.

Every clip is first looked at on its own (:func:`entry_faults`) and reduced to one row of a
:class:`ClipTable`; the rows are then checked together. M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.text import plural

LABELS = 2**31  # what a label may be, so that stores can hold it
SHOWN = 5  # clips named for each fault
OUTLIER_LARGE = 100.0  # times the median clip's root mean square
OUTLIER_SMALL = 1e-3
ABSURD, UNSQUARABLE = 1e9, 1e18  # times the median clip's, and what a float32 network can't square
MANY_PERSONS, FEW_FRAMES = 20, 6  # a clip of more persons in so few frames has its axes swapped
META_KINDS: dict[str, tuple] = {
    'dataset': ('a name', str),
    'layout': ('a name or a definition', str, Mapping),
    'classes': ('a list of names', list, tuple),
    'normalized': ('True or False', bool, np.bool_),
}
HUGE = float(np.finfo(np.float64).max)


class AnnotationError(ValueError):
    """An annotation file has faults. The message lists them all."""


@dataclass(frozen=True)
class Finding:
    """One thing that some clips have in common and should not.

    Attributes:
        field: the field of the annotation.
        expected: what should be there.
        clips: (name, what was found) of the first few clips.
        count: how many clips.
        advice: what was or can be done about it.
    """

    field: str
    expected: str
    clips: tuple[tuple[str, str], ...]
    count: int
    advice: str = ''

    @classmethod
    def of(
        cls,
        field: str,
        expected: str,
        places: Collection[Any],
        describe: Callable[[Any], tuple[str, str]],
        advice: str = '',
    ) -> Finding:
        """The finding on all clips of ``places``; ``describe`` gives (name, what was found) of one."""
        shown = tuple(describe(place) for place in islice(places, SHOWN))
        return cls(field, expected, shown, len(places), advice)

    def __str__(self) -> str:
        more = self.count - len(self.clips)
        where = plural(self.count, 'clip')
        lines = [f'* {self.field}: expected {self.expected}, found otherwise in {where}:']
        lines += [f'    {name}: {found}' for name, found in self.clips]
        lines += [f'    ... and {more} more'] if more else []
        lines += [f'  {self.advice}'] if self.advice else []
        return '\n'.join(lines)


@dataclass
class Report:
    """What the checks found: faults end the run, notes are warnings."""

    faults: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def raise_faults(self, where: str) -> None:
        """End with one :class:`AnnotationError` for all faults, if there are any."""
        if self.faults:
            head = f'{where}: {plural(len(self.faults), "kind")} of fault'
            raise AnnotationError('\n'.join([head, *map(str, self.faults)]))


class ClipTable(NamedTuple):
    """One row per clip.

    Attributes:
        label: (n,) integers.
        shape: (n, 4) integers, the keypoints' (M, T, V, C).
        power: (n,) mean square of the keypoints; not finite where they are not.
    """

    label: np.ndarray
    shape: np.ndarray
    power: np.ndarray


class Expectation(NamedTuple):
    """What a run expects of its clips; None or empty where it does not care.

    Attributes:
        num_classes: labels are smaller.
        num_joints: V.
        layout: what ``num_joints`` comes from, for messages.
        num_coordinates: C.
        num_person: how many persons the network takes.
        max_frames: the longest clip that MMAction2's ``PadTo`` takes.
        training: whether the clips are trained on.
        multi_class: labels are lists.
    """

    num_classes: int | None = None
    num_joints: int | None = None
    layout: str = ''
    num_coordinates: int | None = None
    num_person: int | None = None
    max_frames: int | None = None
    training: bool = True
    multi_class: bool = False


def check_meta(meta: Any) -> dict[str, Any]:
    """What an annotation file says of all its clips, after a look at the fields that this package reads.

    Raises:
        AnnotationError: a field is of another kind than it has to be, or contradicts itself.
    """
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise AnnotationError(f'meta: expected a dict, found a {type(meta).__name__}')
    for key, (expected, *kinds) in META_KINDS.items():
        if meta.get(key) is not None and not isinstance(meta[key], tuple(kinds)):
            raise AnnotationError(f'meta.{key}: expected {expected}, found {meta[key]!r}')
    classes = list(meta.get('classes') or ())
    wrong = [name for name in classes if not isinstance(name, str) or classes.count(name) > 1]
    if wrong:
        raise AnnotationError(f'meta.classes: expected different names, found {wrong[:SHOWN]}')
    if wrong := [name for name in classes if '\0' in name]:
        raise AnnotationError(f'meta.classes: expected names without NUL bytes, found {wrong[:SHOWN]}')
    if isinstance(meta.get('layout'), Mapping):
        try:
            get_skeleton(meta['layout'])
        except (TypeError, ValueError) as error:
            raise AnnotationError(f'meta.layout: {error}') from None
    return dict(meta)


def entry_faults(clip: Mapping[str, Any], multi_class: bool = False) -> list[tuple[str, str, str]]:
    """(field, expected, found) of everything that makes one annotation unreadable."""
    if not isinstance(clip, Mapping):
        return [('annotation', 'a dict', type(clip).__name__)]
    name, label = clip.get('frame_dir', clip.get('filename')), clip.get('label')
    faults = [
        (key, 'to be there', f'missing; fields: {sorted(map(str, clip))}')
        for key in ('frame_dir', 'label', 'keypoint')
        if key not in clip and (key != 'frame_dir' or 'filename' not in clip)
    ]
    if not isinstance(name, str) and ('frame_dir' in clip or 'filename' in clip):
        faults.append(('frame_dir', 'a string', f'{name!r} ({type(name).__name__})'))
    if 'label' in clip and not multi_class and not is_integer(label):
        faults.append(('label', 'an integer', f'{label!r} ({type(label).__name__})'))
    return faults + _keypoint_faults(clip) if 'keypoint' in clip else faults


def is_integer(value: Any) -> bool:
    """An integer of Python's or numpy's within 32 bits, also as an array of no dimensions; no truth value."""
    if isinstance(value, np.ndarray):
        value = value[()] if value.ndim == 0 else None
    return (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and -LABELS <= int(value) < LABELS
    )


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
    """One pass over the data that tells non-finite, empty and outlying clips from ordinary ones."""
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
    """The table of annotations in memory, and the faults of those that have no place in it.

    Args:
        clips: annotations.
        multi_class: labels are lists; their column is -1.
    """
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    sound = []
    for row, clip in enumerate(clips):
        faults = entry_faults(clip, multi_class)
        for what, expected, seen in faults:
            found.setdefault((what, expected), []).append((clip_name(clip, row), seen))
        if not faults:
            sound.append((-1 if multi_class else clip['label'], clip['keypoint'].shape, row))
    label, shape, rows = zip(*sound, strict=True) if sound else ((), np.empty((0, 4), np.int64), ())
    power = [mean_square(clips[row]['keypoint']) for row in rows]
    scored = np.array([clips[row].get('keypoint_score') is not None for row in rows], dtype=bool)
    findings = [Finding.of(*key, named, tuple) for key, named in found.items()]
    findings += unscored_clips(scored, lambda i: clip_name(clips[rows[i]], rows[i]))
    return ClipTable(np.array(label, np.int64), np.array(shape), np.array(power)), findings


def unscored_clips(scored: np.ndarray, name: Callable[[int], str]) -> list[Finding]:
    """Clips without scores where others have some; a batch would take theirs as 0.

    Args:
        scored: (n,) which clips have scores.
        name: of a clip, by its row.
    """
    if scored.all() or not scored.any():
        return []
    without, expected = np.flatnonzero(~scored).tolist(), 'scores in all clips of a split or in none'
    return [Finding.of('keypoint_score', expected, without, lambda row: (name(row), 'missing'))]


def clip_name(clip: Mapping[str, Any], position: int) -> str:
    """What to call an annotation in a message, even one without a name."""
    name = clip.get('frame_dir', clip.get('filename')) if isinstance(clip, Mapping) else None
    return f'#{position}' if name is None else str(name)


def check_table(
    table: ClipTable, expected: Expectation, clip_at: Callable[[int], Mapping[str, Any]]
) -> tuple[Report, np.ndarray]:
    """Check the clips of one split together.

    Args:
        table: a row for every clip.
        expected: what the run expects.
        clip_at: reads a clip by its row, for the names and details of those at fault.

    Returns:
        The report, and (n,) which clips to use.
    """
    checker = _Checker(table, expected, clip_at)
    report = Report([finding for finding in checker.faults() if finding.count])
    if not report.faults:
        report.notes = [finding for finding in checker.notes() if finding.count]
    return report, ~checker.empty if expected.training else np.ones(len(table.power), bool)


class _Checker:
    def __init__(
        self, table: ClipTable, expected: Expectation, clip_at: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self.label, self.shape, self.power = table
        self.expected = expected
        self.clip_at = clip_at
        self.empty = self.power == 0
        self.size = np.sqrt(self.power)
        usual = self.size[~self.empty & np.isfinite(self.power)]
        self.usual_size = float(np.median(usual)) if len(usual) else 1.0

    def find(
        self,
        expected: str,
        wrong: np.ndarray,
        found: Callable[[int], str],
        advice: str = '',
        *,
        field: str = 'keypoint',
    ) -> Finding:
        """The clips that are wrong by a mask."""

        def describe(row: int) -> tuple[str, str]:
            return clip_name(self.clip_at(row), row), found(row)

        return Finding.of(field, expected, np.flatnonzero(wrong).tolist(), describe, advice)

    def shape_of(self, row: int) -> str:
        return f'shape {tuple(self.shape[row].tolist())}'

    def keypoint(self, row: int) -> np.ndarray:
        return self.clip_at(row)['keypoint']

    def faults(self) -> Iterator[Finding]:
        """What a run can't go on with: labels, shapes and numbers that the network does not take."""
        classes, longest = self.expected.num_classes, self.expected.max_frames
        if not self.expected.multi_class:
            span = '0 or more' if classes is None else f'0..{classes - 1} (num_classes={classes})'
            end = LABELS if classes is None else classes
            wrong = (self.label < 0) | (self.label >= end)
            yield self.find(span, wrong, lambda row: str(self.label[row]), field='label')
        persons, frames, joints, coordinates = self.shape.T
        yield self.find(
            'persons before frames, (M, T, V, C)',
            (persons > MANY_PERSONS) & (frames <= FEW_FRAMES),
            lambda row: f'{self.shape_of(row)}, which reads as (T, M, V, C)',
        )
        for name, sizes, wanted, reason in (
            ('joints', joints, self.expected.num_joints, f'layout {self.expected.layout!r}'),
            ('coordinates', coordinates, self.expected.num_coordinates, 'for 3-D normalization'),
        ):
            common = wanted or int(np.bincount(sizes).argmax())
            source = reason if wanted else 'as most clips of the split'
            yield self.find(f'{common} {name} ({source})', sizes != common, self.shape_of)
        if longest is not None:
            advice = f'PadTo takes no longer ones; ReplayPad(length={longest}) in its place cuts them.'
            yield self.find(f'up to {longest} frames', frames > longest, lambda row: str(frames[row]), advice)
        is_finite = np.isfinite(self.power)
        yield self.find(
            'finite numbers',
            ~is_finite,
            lambda row: _locate_nonfinite(self.keypoint(row)),
            'With check=False, NormalizeSkeleton3D takes such joints as missing.',
        )
        absurd = (self.size > ABSURD * self.usual_size) | (self.size > UNSQUARABLE)
        yield self.find(
            'coordinates of a person', is_finite & absurd, lambda row: _locate_largest(self.keypoint(row))
        )

    def notes(self) -> Iterator[Finding]:
        """What a run goes on with, although it may not be meant."""
        persons, frames = self.shape[:, 0], self.shape[:, 1]
        size, usual, most = self.size, self.usual_size, self.expected.num_person
        fate = 'They are left out.'
        if not self.expected.training:
            fate = 'They are kept, since a test set keeps its size, and predicted from zeros.'
        yield self.find('somebody to be seen', self.empty, lambda _: 'nobody, or all zero', fate)
        yield self.find('more than one frame', frames == 1, lambda _: '1 frame', 'It is shown as a still.')
        if most is not None:
            advice = f'FormatSkeletonInput keeps the {most} most active, FormatGCNInput the first {most}.'
            yield self.find(f'up to {most} persons', persons > most, lambda row: str(persons[row]), advice)
        yield self.find(
            f'coordinates of about the usual size (root mean square {usual:.3g})',
            ~self.empty & ((size > OUTLIER_LARGE * usual) | (size < OUTLIER_SMALL * usual)),
            lambda row: f'{size[row]:.3g}, {size[row] / usual:.3g} times as large',
            'Other units (mm for m)? They are used as they are.',
        )


def _locate_largest(keypoint: np.ndarray) -> str:
    return _at(keypoint, np.unravel_index(np.abs(keypoint).argmax(), keypoint.shape))


def _locate_nonfinite(keypoint: np.ndarray) -> str:
    """Where the first NaN or infinity is, and how many there are."""
    wrong = np.argwhere(~np.isfinite(keypoint))
    return f'{_at(keypoint, wrong[0])}; {len(wrong)} in all'


def _at(keypoint: np.ndarray, place: Sequence[Any]) -> str:
    person, frame, joint, channel = place
    return f'{keypoint[tuple(place)]} at person {person}, frame {frame}, joint {joint}, channel {channel}'

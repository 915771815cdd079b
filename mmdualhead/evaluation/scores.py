"""The scores of one test run, which are dumped, fused and analyzed.

Shapes: N clips, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.files import atomic_write
from mmdualhead.utils.reading import shown
from mmdualhead.utils.text import clips_named

FUSED = 'fused'


AnyScores = TypeVar('AnyScores', bound='Scores')


@dataclass(frozen=True)
class LabeledClips:
    """Names and labels of N clips in the order of an annotation file, which is the order of testing.

    Args:
        source: the file.
        names: N clip names.
        labels: (N,) true classes.
        left_out: names of excluded clips.
    """

    source: str
    names: tuple[str, ...]
    labels: np.ndarray
    left_out: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Class scores by clip.

    Args:
        source: the file or model they come from, for messages.
        names: N clip names.
        heads: (N, K) by name: ``fused``, the score that decides (the only one of a model without heads), and
            that of each head.

    Raises:
        UserError: lengths disagree, or a score is NaN or infinite. The clips are named.
    """

    source: str
    names: tuple[str, ...]
    heads: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        expected = (len(self.names), *self.fused.shape[1:])
        for head, scores in self.heads.items():
            if scores.dtype.kind not in 'fiu':
                raise UserError(f'{self.source}: {head} scores are {scores.dtype}, expected numbers')
            if scores.ndim != 2 or scores.shape != expected or not scores.size:
                raise UserError(
                    f'{self.source}: {head} scores have shape {scores.shape}; expected one row for each of '
                    f'{len(self.names)} clips and one column per class'
                )
            bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
            if bad.size:
                listed = clips_named(self.names[i] for i in bad)
                raise UserError(f'{self.source}: NaN or infinite {head} scores for {listed}')

    @property
    def fused(self) -> np.ndarray:
        """(N, K), the score that decides."""
        return self.heads[FUSED]

    @property
    def num_classes(self) -> int:
        """K."""
        return self.fused.shape[1]

    def select(self: AnyScores, rows: Sequence[int] | np.ndarray) -> AnyScores:
        """The clips of these rows, in their order."""
        rows = np.asarray(rows, dtype=np.int64)
        fields: dict[str, Any] = {'labels': self.labels[rows]} if isinstance(self, LabeledScores) else {}
        fields['heads'] = {head: scores[rows] for head, scores in self.heads.items()}
        return replace(self, names=tuple(self.names[row] for row in rows), **fields)

    def with_labels(self, labels: np.ndarray) -> LabeledScores:
        """The same scores and the true classes (N,)."""
        return LabeledScores(source=self.source, names=self.names, labels=labels, heads=self.heads)


@dataclass(frozen=True, kw_only=True)
class LabeledScores(Scores):
    """Scores whose true classes are known.

    Args:
        labels: (N,) true classes.

    Raises:
        UserError: also if a label is not a class.
    """

    labels: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels.shape != (len(self.names),):
            raise UserError(f'{self.source}: {self.labels.size} labels for {len(self.names)} clips')
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= self.num_classes))
        if bad.size:
            listed = clips_named(f'{self.names[i]} (label {self.labels[i]})' for i in bad)
            raise UserError(f'{self.source}: labels outside 0..{self.num_classes - 1} for {listed}')


def class_labels(labels: Sequence[Any] | np.ndarray, source: object) -> np.ndarray:
    """(N,) labels from a file as integers.

    Raises:
        UserError: they are something else; the message names the file.
    """
    items = map(np.asarray, labels)
    array = np.array([item.item() for item in items if item.size == 1])
    if len(array) < len(labels) or array.dtype.kind not in 'fiu' or (array != array.astype(np.int64)).any():
        raise UserError(f'{source}: labels: expected an integer for each clip, found {shown(labels)}')
    return array.astype(np.int64)


def save_scores(scores: LabeledScores, path: str | Path) -> None:
    """Write scores to an ``.npz`` file with the arrays ``names``, ``labels``, ``fused`` and one per head.

    It contains no pickle, so reading it is safe.

    Args:
        scores: the scores to write.
        path: the file; its folder is created, and the file is written atomically.
    """
    with atomic_write(path) as file:
        arrays: dict[str, Any] = dict(scores.heads)
        np.savez_compressed(file, names=np.array(scores.names), labels=scores.labels, **arrays)


def load_scores(path: str | Path) -> LabeledScores:
    """Read a file of :func:`save_scores`.

    Raises:
        ValueError: the file is damaged, not one of these, or its content is rejected by :class:`Scores`.
    """
    try:
        arrays = load_arrays(path)
        if not isinstance(arrays, dict):
            raise UserError('it contains a single array')
    except ValueError as error:
        raise UserError(f'{path} is not a readable .npz file of scores: {error}') from error
    missing = {'names', 'labels', FUSED} - set(arrays)
    if missing:
        raise UserError(f'{path} lacks the arrays {sorted(missing)}; DumpScores writes them')
    names, labels = tuple(arrays.pop('names').tolist()), class_labels(arrays.pop('labels'), path)
    return LabeledScores(source=str(path), names=names, labels=labels, heads=arrays)


def head_scores(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The scores in a data sample, by head; ``pred_score`` is the fused one, ``NAME_score`` a head's."""
    heads = {key.removesuffix('_score'): score for key, score in sample.items() if key.endswith('_score')}
    return {FUSED: heads.pop('pred'), **heads}


def check_unique(part: Scores | LabeledClips) -> None:
    """Check that no two clips share a name, by which scores are joined.

    Raises:
        ValueError: some do. File and clips are named.
    """
    if doubled := [name for name, count in Counter(part.names).items() if count > 1]:
        raise UserError(f'{part.source} has a clip more than once: {clips_named(doubled)}')


def check_same_clips(one: Scores | LabeledClips, other: Scores | LabeledClips) -> None:
    """Check that both have the same clips.

    Raises:
        ValueError: one has clips that the other lacks. Files and clips are named.
    """
    for has, lacks in ((one, other), (other, one)):
        there = set(lacks.names)
        missing = [name for name in has.names if name not in there]
        if missing:
            raise UserError(f'{lacks.source} lacks clips of {has.source}, {clips_named(missing)}')


def common_labels(parts: Sequence[LabeledScores | LabeledClips]) -> dict[str, int]:
    """The labels of the same clips by name.

    Raises:
        ValueError: two parts give different labels to a clip. Files and clips are named.
    """
    first = parts[0]
    labels = dict(zip(first.names, first.labels.tolist(), strict=True))
    for part in parts[1:]:
        pairs = zip(part.names, part.labels.tolist(), strict=True)
        differing = [f'{name} ({labels[name]}, {label})' for name, label in pairs if labels[name] != label]
        if differing:
            raise UserError(
                f'{first.source} and {part.source} give different labels to {clips_named(differing)}'
            )
    return labels

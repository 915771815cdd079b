"""The scores of one test run: what is dumped, fused and looked at.

Shapes: N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.files import atomic_write

FUSED = 'fused'
NAMES_SHOWN = 5

AnyScores = TypeVar('AnyScores', bound='Scores')


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Class scores by clip.

    Args:
        source: the file or model they come from, for messages.
        names: N clip names.
        heads: (N, K) by name: ``fused``, the score that decides and the only one of a model without heads of
            its own, and that of each head.

    Raises:
        ValueError: lengths disagree, or a score is NaN or infinite. The clips are named.
    """

    source: str
    names: tuple[str, ...]
    heads: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        for head, scores in self.heads.items():
            self._check_scores(head, scores)

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
        return replace(self, **self._fields_of(np.asarray(rows, dtype=np.int64)))

    def with_labels(self, labels: np.ndarray) -> LabeledScores:
        """The same scores and the true classes (N,)."""
        return LabeledScores(source=self.source, names=self.names, labels=labels, heads=self.heads)

    def _fields_of(self, rows: np.ndarray) -> dict[str, Any]:
        heads = {head: scores[rows] for head, scores in self.heads.items()}
        return dict(names=tuple(self.names[row] for row in rows), heads=heads)

    def _check_scores(self, head: str, scores: np.ndarray) -> None:
        wanted = (len(self.names), *self.fused.shape[1:])
        if scores.ndim != 2 or scores.shape != wanted or not scores.size:
            raise ValueError(
                f'{self.source}: {head} scores have shape {scores.shape}; wanted is one row for each of '
                f'{len(self.names)} clips and one column per class'
            )
        bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if bad.size:
            raise ValueError(
                f'{self.source}: NaN or infinite {head} scores for {shorten(self.names[i] for i in bad)}'
            )


@dataclass(frozen=True, kw_only=True)
class LabeledScores(Scores):
    """Scores whose true classes are known.

    Args:
        labels: (N,) true classes.

    Raises:
        ValueError: also if a label is not a class.
    """

    labels: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_labels(self.labels)

    def _fields_of(self, rows: np.ndarray) -> dict[str, Any]:
        return dict(super()._fields_of(rows), labels=self.labels[rows])

    def _check_labels(self, labels: np.ndarray) -> None:
        if labels.shape != (len(self.names),):
            raise ValueError(f'{self.source}: {labels.size} labels for {len(self.names)} clips')
        bad = np.flatnonzero((labels < 0) | (labels >= self.num_classes))
        if bad.size:
            listed = shorten(f'{self.names[i]} (label {labels[i]})' for i in bad)
            raise ValueError(f'{self.source}: labels outside 0..{self.num_classes - 1} for {listed}')


def shorten(names: Iterable[object]) -> str:
    """A count and the first few names, for messages: ``7 clips: a, b, c, d, e, ...``."""
    listed = [str(name) for name in names]
    more = ', ...' if len(listed) > NAMES_SHOWN else ''
    return f'{len(listed)} clip{"s"[: len(listed) != 1]}: {", ".join(listed[:NAMES_SHOWN])}{more}'


def save_scores(scores: LabeledScores, path: str | Path) -> None:
    """Write scores to an ``.npz`` file with the arrays ``names``, ``labels``, ``fused`` and one per head.

    It holds no pickle, so reading it is safe.

    Args:
        scores: what to write.
        path: the file; its folder is made, and an older file is replaced once the new one is whole.
    """
    with atomic_write(path) as file:
        arrays: dict[str, Any] = dict(scores.heads)
        np.savez_compressed(file, names=np.array(scores.names), labels=scores.labels, **arrays)


def load_scores(path: str | Path) -> LabeledScores:
    """Read a file of :func:`save_scores`.

    Raises:
        ValueError: the file is damaged, is none of ours, or its content is refused by :class:`Scores`.
    """
    try:
        arrays = load_arrays(path)
    except ValueError as error:
        raise ValueError(f'{path} is not a readable .npz file of scores: {error}') from error
    if not isinstance(arrays, dict):
        raise ValueError(f'{path} is not a readable .npz file of scores: it holds a single array')
    missing = {'names', 'labels', FUSED} - set(arrays)
    if missing:
        raise ValueError(f'{path} lacks the arrays {sorted(missing)}; DumpScores writes them')
    names, labels = tuple(arrays.pop('names').tolist()), arrays.pop('labels')
    return LabeledScores(source=str(path), names=names, labels=labels, heads=arrays)


def head_scores(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The scores in a data sample, by head; ``pred_score`` is the fused one, ``NAME_score`` a head's."""
    heads = {key.removesuffix('_score'): score for key, score in sample.items() if key.endswith('_score')}
    return {FUSED: heads.pop('pred'), **heads}

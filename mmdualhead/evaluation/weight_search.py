"""Search of fusion weights on clips that are then left out of the report.

Shapes: S streams, N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import combinations, pairwise
from math import comb

import numpy as np

from mmdualhead.utils.text import clips_named

from .scores import LabeledScores

SEARCH_STEPS = 10
SEARCH_LIMIT = 3003


def hold_out(scores: LabeledScores, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Part the clips in two, every class in proportion, by a hash of their names.

    The same names and seed give the same parts in any order of clips.

    Args:
        scores: labeled scores.
        fraction: share of each class that is held out, above 0 and below 1.
        seed: another seed, another part.

    Returns:
        The rows held out and the rows that remain.

    Raises:
        ValueError: the fraction is not between 0 and 1, or leaves one of the parts empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f'the part held out must be between 0 and 1, not {fraction}')
    digests = [sha1(f'{seed} {name}'.encode()).hexdigest() for name in scores.names]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    by_class: dict[int, list[int]] = {}
    for row in order:
        by_class.setdefault(int(scores.labels[row]), []).append(row)
    held = [row for rows in by_class.values() for row in rows[: round(fraction * len(rows))]]
    return _part(scores, np.array(sorted(held), dtype=np.int64))


def hold_out_names(scores: LabeledScores, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`hold_out`, with the clips held out named.

    Raises:
        ValueError: a name is not a clip of the scores, or one of the parts is empty.
    """
    row_of = {name: row for row, name in enumerate(scores.names)}
    unknown = [name for name in names if name not in row_of]
    if unknown:
        raise ValueError(f'to be held out, but not in {scores.source}, {clips_named(unknown)}')
    return _part(scores, np.array(sorted({row_of[name] for name in names}), dtype=np.int64))


def _part(scores: LabeledScores, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rest = np.setdiff1d(np.arange(len(scores.names)), held)
    if not held.size or not rest.size:
        raise ValueError(f'{held.size} of {len(scores.names)} clips are held out: one part is empty')
    return held, rest


def search_weights(streams: Sequence[LabeledScores], steps: int = SEARCH_STEPS) -> tuple[float, ...]:
    """The weights of highest top-1 accuracy on these clips, among multiples of ``1 / steps`` that sum to 1.

    Of equally good ones those nearest to equal weights are taken. With many streams the steps become coarser,
    so that no more than 3003 combinations are tried. Search on clips that are not reported.
    """
    count = len(streams)
    while steps > count and comb(steps + count - 1, count - 1) > SEARCH_LIMIT:
        steps -= 1
    stacked = np.stack([stream.fused for stream in streams]).astype(np.float32)
    labels = streams[0].labels

    def merit(weights: tuple[int, ...]) -> tuple[int, float]:
        fused = np.tensordot(np.array(weights, dtype=np.float32), stacked, axes=1)
        return int(np.sum(fused.argmax(axis=1) == labels)), -float(np.var(weights))

    best = max(_compositions(steps, count), key=merit)
    return tuple(weight / steps for weight in best)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All tuples of ``parts`` non-negative integers of this sum."""
    for bars in combinations(range(total + parts - 1), parts - 1):
        ends = (-1, *bars, total + parts - 1)
        yield tuple(b - a - 1 for a, b in pairwise(ends))

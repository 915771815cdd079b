"""Search of fusion weights on clips that the report then excludes.

Shapes: S streams, N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import combinations, pairwise
from math import comb

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.reading import read_text, split_lines
from mmdualhead.utils.text import clips_named

from .scores import LabeledScores

SEARCH_STEPS = 10
SEARCH_LIMIT = 3003


def hold_out(scores: LabeledScores, part: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split the clips in two.

    Args:
        scores: labeled scores.
        part: what is held out: a fraction between 0 and 1 of each class, chosen by a hash of the clips'
            names, independent of their order; or a text file of clip names, one per line.
        seed: selects another part if it is a fraction.

    Returns:
        The held-out rows and the remaining rows.

    Raises:
        FileNotFoundError: ``part`` is neither a number nor a file.
        ValueError: the fraction is not between 0 and 1, a name is not a clip of the scores, or one part is
            empty.
    """
    try:
        fraction = float(part)
    except ValueError:
        held = _named(scores, split_lines(read_text(part)))
    else:
        held = _share_of_each_class(scores, fraction, seed)
    rest = np.setdiff1d(np.arange(len(scores.names)), held)
    if not len(held) or not len(rest):
        raise UserError(f'{len(held)} of {len(scores.names)} clips are held out: one part is empty')
    return held, rest


def _named(scores: LabeledScores, lines: Sequence[str]) -> np.ndarray:
    names = {line.strip() for line in lines if line.strip()}
    unknown = sorted(names - set(scores.names))
    if unknown:
        raise UserError(f'held-out clips that are not in {scores.source}, {clips_named(unknown)}')
    return np.flatnonzero([name in names for name in scores.names])


def _share_of_each_class(scores: LabeledScores, fraction: float, seed: int) -> np.ndarray:
    if not 0 < fraction < 1:
        raise UserError(f'the part held out must be between 0 and 1, not {fraction}')
    digests = [sha1(f'{seed} {name}'.encode()).hexdigest() for name in scores.names]
    order = np.argsort(digests)
    by_class = (order[scores.labels[order] == label] for label in np.unique(scores.labels))
    return np.sort(np.concatenate([rows[: round(fraction * len(rows))] for rows in by_class]))


def search_weights(streams: Sequence[LabeledScores], steps: int = SEARCH_STEPS) -> tuple[float, ...]:
    """The weights of highest top-1 accuracy on these clips, among multiples of ``1 / steps`` that sum to 1.

    Ties go to the weights that are most nearly equal. With many streams the steps become coarser, so that no
    more than 3003 combinations are tried; but at least as many as streams, so that equal weights are
    possible. Search on clips that are not reported.
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

"""Fusion of streams: the weighted sum of class probabilities, joined by clip name.

Shapes: S streams, N clips, K classes. The fused score of a clip is ``Σ_s w_s p_s / Σ_s w_s``; the paper sums
the softmax scores of four streams, which is equal weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from mmdualhead.errors import UserError

from .scores import FUSED, AnyScores, LabeledScores, Scores, check_same_clips, check_unique, common_labels

SUM_TOLERANCE = 0.02

ROUNDING = 0.2
"""How far the sum of rounded probabilities may be from 1: 40 of them, with two digits, reach this."""


def parse_weights(tokens: Sequence[str], streams: int) -> tuple[float, ...]:
    """Parse the weights that a user gave.

    Args:
        tokens: ``['equal']``, a ratio such as ``['1:1']`` or ``['2:2:1:1']``, or one number per stream.
        streams: S.

    Returns:
        S weights.

    Raises:
        ValueError: not as many as streams, not a number, negative, or all zero.
    """
    if list(tokens) == ['equal']:
        return (1.0,) * streams
    try:
        weights = tuple(map(float, ':'.join(tokens).split(':')))
    except ValueError:
        raise UserError(
            f'weights {" ".join(tokens)}: expected numbers, a ratio such as 2:2:1:1, or equal'
        ) from None
    if len(weights) != streams:
        raise UserError(f'{len(weights)} weights ({" ".join(tokens)}) for {streams} streams')
    if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) == 0:
        raise UserError(f'weights {" ".join(tokens)}: expected none negative and at least one positive')
    return weights


def to_probabilities(scores: AnyScores) -> tuple[AnyScores, str]:
    """Convert scores to probabilities, which the paper sums over streams.

    Probabilities stay as they are. Rows without negative numbers that sum up to about 1 (rounded), or to one
    common number (several clips summed), are divided by their sum. Anything else is treated as logits and
    passed through a softmax.

    Returns:
        The scores, and what was done to them: ``as they are``, ``normalized`` or ``softmax``.
    """
    done = {head: _to_probabilities(values) for head, values in scores.heads.items()}
    return replace(scores, heads={head: values for head, (values, _) in done.items()}), done[FUSED][1]


def _to_probabilities(values: np.ndarray) -> tuple[np.ndarray, str]:
    sums = values.sum(axis=1, keepdims=True, dtype=np.float64)
    is_common = np.ptp(sums) <= SUM_TOLERANCE * abs(sums.mean())
    is_rounded = np.abs(sums - 1).max() <= ROUNDING
    if values.min() < 0 or not (is_common or is_rounded):
        return softmax(values.astype(np.float64), axis=1), 'softmax'
    if is_common and abs(sums.mean() - 1) <= SUM_TOLERANCE:
        return values, 'as they are'
    return values / sums, 'normalized'


def join(streams: Sequence[Scores]) -> list[LabeledScores]:
    """Bring the streams' clips into one order, by name.

    Args:
        streams: S sets of scores in any order of clips; those without labels get them from the others.

    Returns:
        The streams in the order of the first one's clips, all with labels.

    Raises:
        ValueError: a clip occurs twice in a stream or is missing from one, labels differ or are missing in
            all streams, or the numbers of classes differ. Files and clips are named.
    """
    first = streams[0]
    for stream in streams:
        check_unique(stream)
        if stream.num_classes != first.num_classes:
            raise UserError(
                f'{stream.source} has {stream.num_classes} classes, {first.source} has {first.num_classes}'
            )
        check_same_clips(first, stream)
    labeled = [stream for stream in streams if isinstance(stream, LabeledScores)]
    if not labeled:
        raise UserError(
            f'no labels in {", ".join(s.source for s in streams)}; give the annotations (--ann-file, --split)'
        )
    labels = common_labels(labeled)
    joined = []
    for stream in streams:
        rows = {name: row for row, name in enumerate(stream.names)}
        ordered = stream.select([rows[name] for name in first.names])
        joined.append(ordered.with_labels(np.array([labels[name] for name in first.names])))
    return joined


def fuse(streams: Sequence[LabeledScores], weights: Sequence[float]) -> LabeledScores:
    """The weighted mean of joined streams, for each head that all streams have.

    Args:
        streams: S sets of scores as :func:`join` returns them.
        weights: S weights; only their ratio matters.

    Returns:
        Scores of the same clips.
    """
    heads = [head for head in streams[0].heads if all(head in stream.heads for stream in streams)]
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mixed = {head: np.tensordot(shares, [stream.heads[head] for stream in streams], axes=1) for head in heads}
    source = ' + '.join(stream.source for stream in streams)
    return LabeledScores(source=source, names=streams[0].names, labels=streams[0].labels, heads=mixed)

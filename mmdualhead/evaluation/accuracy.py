"""Accuracies of class scores.

Shapes: N clips, K classes. All of them follow from the rank of the true class, the number of classes scored
    above it; for equal scores the lower class index comes first, as in ``argmax``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .scores import FUSED

TOPK = (1, 5)


def true_class_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rank of each clip's true class among its scores, 0 for the best.

    Args:
        scores: (N, K), larger is better.
        labels: (N,), the true classes.

    Returns:
        (N,) integers in 0..K-1.
    """
    true = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    return np.sum((scores > true) | ((scores == true) & before), axis=1)


def ranks_by_head(heads: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, np.ndarray]:
    """:func:`true_class_ranks` of each head, and of an ``oracle`` that always chooses the better one.

    Args:
        heads: (N, K) scores by name; the oracle, added for several heads, ignores ``fused``.
        labels: (N,), the true classes.
    """
    ranks = {head: true_class_ranks(scores, labels) for head, scores in heads.items()}
    single = [rank for head, rank in ranks.items() if head != FUSED]
    return {**ranks, 'oracle': np.min(single, axis=0)} if len(single) > 1 else ranks


def class_accuracy(ranks: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Top-1 accuracy of every class, NaN for classes without clips.

    Args:
        ranks: (N,) of :func:`true_class_ranks`.
        labels: (N,), the true classes.
        num_classes: K.

    Returns:
        (K,) fractions.
    """
    clips = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels[ranks == 0], minlength=num_classes)
    with np.errstate(invalid='ignore'):  # 0 / 0 for classes without clips
        return hits / clips


def mean_class_accuracy(ranks: np.ndarray, labels: np.ndarray) -> float:
    """The mean top-1 accuracy of the classes that have clips.

    MMAction2's function of this name also counts, as 0, classes that have no clip but were predicted.
    """
    return float(np.nanmean(class_accuracy(ranks, labels, int(labels.max()) + 1)))


def accuracies(ranks: np.ndarray, labels: np.ndarray, topk: Sequence[int] = TOPK) -> dict[str, float]:
    """Top-k and mean class accuracy, as fractions, under the keys ``top{k}`` and ``mean_class``.

    Args:
        ranks: (N,) of :func:`true_class_ranks`.
        labels: (N,), the true classes.
        topk: the values of k.
    """
    return {
        **{f'top{k}': float(np.mean(ranks < k)) for k in topk},
        'mean_class': mean_class_accuracy(ranks, labels),
    }


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) counts; row: true class, column: predicted class."""
    classes = scores.shape[1]
    cells = labels * classes + scores.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)

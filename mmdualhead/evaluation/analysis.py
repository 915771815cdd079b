"""Where a model errs: per-class gains, confusions, calibration.

Shapes: N clips, K classes, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accuracy import class_accuracy, true_class_ranks
from .scores import FUSED, LabeledScores

BINS = 15


@dataclass(frozen=True)
class Confusion:
    """Clips of class ``true`` taken for class ``predicted``: how many, and which share of ``true``."""

    true: int
    predicted: int
    clips: int
    share: float


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted.

    Args:
        edges: (B + 1,) of the bins of confidence, which is the highest probability of a clip.
        clips: (B,) clips per bin.
        confidence: (B,) mean confidence in each bin, NaN where it is empty.
        accuracy: (B,) top-1 accuracy in each bin, NaN where it is empty.
        ece: expected calibration error, ``Σ_b clips_b / N · |accuracy_b - confidence_b|`` (Guo et al., 2017).
    """

    edges: np.ndarray
    clips: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def accuracy_by_class(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,) top-1 accuracies, NaN where a class has no clip."""
    return class_accuracy(true_class_ranks(scores, labels), labels, scores.shape[1])


def gains(scores: LabeledScores, other: LabeledScores | None = None) -> dict[str, np.ndarray]:
    """How much better each class is recognized by the fused score than by something else.

    Args:
        scores: labeled scores.
        other: another model's scores of the same clips in the same order (:func:`~.fusion.join`).

    Returns:
        (K,) differences of top-1 accuracy, NaN where a class has no clip, by what is compared with:
        each head of the model, and ``other`` where another model is given.
    """
    rivals = {head: values for head, values in scores.heads.items() if head != FUSED}
    if other is not None:
        rivals['other'] = other.fused
    fused = accuracy_by_class(scores.fused, scores.labels)
    return {name: fused - accuracy_by_class(values, scores.labels) for name, values in rivals.items()}


def most_confused(matrix: np.ndarray, top: int) -> list[Confusion]:
    """The pairs of classes confused most, by share of the true class's clips, then by count.

    Args:
        matrix: (K, K) counts of :func:`~.accuracy.confusion_matrix`.
        top: how many pairs at most.
    """
    clips = matrix.sum(axis=1)
    pairs = [(int(i), int(j)) for i, j in np.argwhere(matrix) if i != j]
    found = [Confusion(i, j, int(matrix[i, j]), float(matrix[i, j] / clips[i])) for i, j in pairs]
    return sorted(found, key=lambda c: (-c.share, -c.clips, c.true, c.predicted))[:top]


def calibration(scores: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """Confidence against accuracy in bins of equal width.

    Args:
        scores: (N, K) probabilities.
        labels: (N,), the true classes.
        bins: B.
    """
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
    clips = np.bincount(index, minlength=bins)
    empty = np.full(bins, np.nan)
    means = [
        np.divide(np.bincount(index, values, bins), clips, out=empty.copy(), where=clips > 0)
        for values in (confidence, right)
    ]
    ece = float(np.nansum(clips * np.abs(means[1] - means[0])) / len(labels))
    return Calibration(edges, clips, means[0], means[1], ece)

"""Where a model errs: per-class gains, confusions, calibration, and the tables of ``tools/analyze.py``.

Shapes: N clips, K classes, B bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.tables import escape_markdown, markdown_table, percent

from .accuracy import accuracies, class_accuracy, confusion_matrix, ranks_by_head, true_class_ranks
from .fusion import join, to_probabilities
from .scores import FUSED, LabeledScores, Scores

BINS = 15
CONFUSIONS = 20


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
    index = np.digitize(confidence, edges[1:-1], right=True)
    clips = np.bincount(index, minlength=bins)
    with np.errstate(invalid='ignore'):  # 0 / 0 in empty bins
        confidence, accuracy = (np.bincount(index, values, bins) / clips for values in (confidence, right))
    ece = float(np.nansum(clips * np.abs(accuracy - confidence)) / len(labels))
    return Calibration(edges, clips, confidence, accuracy, ece)


def most_confused(matrix: np.ndarray, top: int) -> list[tuple[int, int, int, float]]:
    """The pairs of classes confused most, by share of the true class's clips, then by count.

    Args:
        matrix: (K, K) counts of :func:`~.accuracy.confusion_matrix`.
        top: how many pairs at most.

    Returns:
        True class, predicted class, number of clips, and which share of the true class they are.
    """
    clips = matrix.sum(axis=1)
    cells = [(i, j, matrix[i, j], matrix[i, j] / clips[i]) for i, j in np.argwhere(matrix) if i != j]
    return sorted(cells, key=lambda cell: (-cell[3], -cell[2], cell[:2]))[:top]


class ErrorReport:
    """Where one model errs, and where it differs from another.

    Args:
        scores: of the model.
        classes: K names; defaults to their numbers.
        other: another model's scores of the same clips, in any order.

    Attributes:
        scores: probabilities of the model.
        other: those of the other model, the clips in the same order; None without one.
        classes: K names.
        matrix: (K, K) confusions of the fused score.
        class_accuracies: (K,) top-1 accuracies by head, the other model's as ``other``; NaN where a class has
            no clip.
        gains: (K,) by how much the fused score is better than each head and the other model; NaN likewise.
        calibrations: by head, the other model's as ``other``.

    Raises:
        ValueError: the models scored other clips, there are no labels, or the names are not one per class.
    """

    def __init__(self, scores: Scores, classes: Sequence[str] | None = None, other: Scores | None = None):
        models = join([to_probabilities(model)[0] for model in (scores, other) if model is not None])
        count = scores.num_classes
        self.scores = models[0]
        self.other: LabeledScores | None = models[1] if models[1:] else None
        self.classes = tuple(map(str, range(count) if classes is None else classes))
        if len(self.classes) != count:
            raise UserError(f'{len(self.classes)} class names for the {count} classes of {scores.source}')
        labels, heads = self.scores.labels, dict(self.scores.heads)
        self._ranks = ranks_by_head(heads, labels)
        if self.other:
            heads['other'] = self.other.fused
            self._ranks['other'] = true_class_ranks(self.other.fused, labels)
        self.matrix = confusion_matrix(self.scores.fused, labels)
        self.calibrations = {head: calibration(values, labels) for head, values in heads.items()}
        self.class_accuracies = {head: class_accuracy(self._ranks[head], labels, count) for head in heads}
        fused = self.class_accuracies[FUSED]
        rivals = {head: accuracy for head, accuracy in self.class_accuracies.items() if head != FUSED}
        self.gains = {head: fused - accuracy for head, accuracy in rivals.items()}

    def to_markdown(self) -> str:
        """All tables."""
        lines = [f'# Errors of {escape_markdown(self.scores.source)}', '', f'{len(self.scores.names)} clips.']
        if self.other:
            lines.append(f'`other` is {escape_markdown(self.other.source)}.')
        lines.append('Accuracies and errors in %, gains of the fused score in percentage points.')
        lines += ['', '## Scores', '', self._head_table()]
        lines += ['', '## Classes confused most', '', self._confusion_table()]
        lines += ['', '## Classes', '', self._class_table()]
        return '\n'.join(lines) + '\n'

    def _head_table(self) -> str:
        rows = []
        for head, ranks in self._ranks.items():
            ece = percent(self.calibrations[head].ece) if head in self.calibrations else '-'
            rows.append((head, *map(percent, accuracies(ranks, self.scores.labels).values()), ece))
        return markdown_table(('score', 'top-1', 'top-5', 'mean class', 'calibration error (ECE)'), rows)

    def _confusion_table(self) -> str:
        rows = [
            (self.classes[true], self.classes[predicted], clips, percent(share))
            for true, predicted, clips, share in most_confused(self.matrix, CONFUSIONS)
        ]
        return markdown_table(('true class', 'taken for', 'clips', 'of its clips'), rows)

    def _class_table(self) -> str:
        header = ('class', 'clips', *self.class_accuracies, *(f'gain over {head}' for head in self.gains))
        accuracy = [_cells(values, percent) for values in self.class_accuracies.values()]
        gains = [_cells(100 * gain, '{:+.2f}'.format) for gain in self.gains.values()]
        clips = self.matrix.sum(axis=1)
        return markdown_table(header, list(zip(self.classes, clips, *accuracy, *gains, strict=True)))


def _cells(values: np.ndarray, text: Callable[[float], str]) -> list[str]:
    return ['-' if np.isnan(value) else text(value) for value in values]

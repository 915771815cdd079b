"""The tables of ``tools/analyze.py``: heads, classes, confusions.

Shapes: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.utils.tables import escape_markdown, markdown_table, percent

from .accuracy import accuracies, confusion_matrix, ranks_by_head, true_class_ranks
from .analysis import Calibration, accuracy_by_class, calibration, gains, most_confused
from .fusion import join, to_probabilities
from .scores import LabeledScores

CONFUSIONS = 20


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """Where one model errs, and where it differs from another.

    Args:
        scores: labeled probabilities of the model.
        classes: K names.
        other: those of another model on the same clips.
    """

    scores: LabeledScores
    classes: tuple[str, ...]
    other: LabeledScores | None = None

    @property
    def heads(self) -> dict[str, np.ndarray]:
        """Probabilities by head, the other model's as ``other``."""
        return {**self.scores.heads, **({'other': self.other.fused} if self.other else {})}

    @property
    def matrix(self) -> np.ndarray:
        """(K, K) confusions of the fused score."""
        return confusion_matrix(self.scores.fused, self.scores.labels)

    @property
    def gains(self) -> dict[str, np.ndarray]:
        """Per-class gains of the fused score over each head and the other model."""
        return gains(self.scores, self.other)

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """Calibration by head."""
        return {head: calibration(values, self.scores.labels) for head, values in self.heads.items()}

    def to_markdown(self) -> str:
        """All tables."""
        sections = {
            'Scores': self._head_table(),
            'Classes confused most': self._confusion_table(),
            'Classes': self._class_table(),
        }
        lines = [f'# Errors of {escape_markdown(self.scores.source)}', '', f'{len(self.scores.names)} clips.']
        if self.other is not None:
            lines.append(f'`other` is {escape_markdown(self.other.source)}.')
        lines.append('Accuracies and errors in %, gains of the fused score in percentage points.')
        for title, table in sections.items():
            lines += ['', f'## {title}', '', table]
        return '\n'.join(lines) + '\n'

    def _head_table(self) -> str:
        labels, bins = self.scores.labels, self.calibrations
        ranks = ranks_by_head(self.scores.heads, labels)
        if self.other is not None:
            ranks['other'] = true_class_ranks(self.other.fused, labels)
        rows = [
            (
                head,
                *map(percent, accuracies(rank, labels).values()),
                percent(bins[head].ece) if head in bins else '-',
            )
            for head, rank in ranks.items()
        ]
        return markdown_table(('score', 'top-1', 'top-5', 'mean class', 'calibration error (ECE)'), rows)

    def _confusion_table(self) -> str:
        rows = [
            (self.classes[c.true], self.classes[c.predicted], c.clips, percent(c.share))
            for c in most_confused(self.matrix, CONFUSIONS)
        ]
        return markdown_table(('true class', 'taken for', 'clips', 'of its clips'), rows)

    def _class_table(self) -> str:
        labels = self.scores.labels
        columns: Mapping[str, np.ndarray] = {
            head: accuracy_by_class(values, labels) for head, values in self.heads.items()
        }
        clips = np.bincount(labels, minlength=len(self.classes))
        header = ('class', 'clips', *columns, *(f'gain over {name}' for name in self.gains))
        rows = [
            (
                name,
                clips[i],
                *('-' if np.isnan(column[i]) else percent(column[i]) for column in columns.values()),
                *('-' if np.isnan(gain[i]) else f'{100 * gain[i]:+.2f}' for gain in self.gains.values()),
            )
            for i, name in enumerate(self.classes)
        ]
        return markdown_table(header, rows)


def make_report(
    scores: LabeledScores, classes: Sequence[str] | None = None, other: LabeledScores | None = None
) -> ErrorReport:
    """Bring scores to probabilities, join two models by clip name, and name the classes.

    Args:
        scores: of the model looked at.
        classes: K names; defaults to their numbers.
        other: of another model.

    Raises:
        ValueError: the models scored other clips, there are no labels, or the names are not one per class.
    """
    models = [to_probabilities(model)[0] for model in (scores, other) if model is not None]
    joined = join(models)
    names = tuple(classes) if classes is not None else tuple(map(str, range(scores.num_classes)))
    if len(names) != scores.num_classes:
        raise ValueError(f'{len(names)} class names for the {scores.num_classes} classes of {scores.source}')
    return ErrorReport(scores=joined[0], classes=names, other=joined[1] if other is not None else None)


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file, one per line, or from the ``meta`` of an annotation file of this package.

    Raises:
        ValueError: the annotation file names no classes.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix not in ('.pkl', '.pickle'):
        lines = path.read_text(encoding='utf-8').splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    classes = open_annotations(path).meta.get('classes')
    if not classes:
        raise ValueError(f'{path} names no classes in its meta; give a text file of names, one per line')
    return tuple(map(str, classes))

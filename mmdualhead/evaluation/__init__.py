"""Metrics and score fusion."""

from .accuracy import accuracies, class_accuracy, confusion_matrix, mean_class_accuracy, true_class_ranks
from .metrics import DualHeadMetric, DumpScores
from .scores import LabeledScores, Scores, load_scores, save_scores

__all__ = [
    'DualHeadMetric',
    'DumpScores',
    'LabeledScores',
    'Scores',
    'accuracies',
    'class_accuracy',
    'confusion_matrix',
    'load_scores',
    'mean_class_accuracy',
    'save_scores',
    'true_class_ranks',
]

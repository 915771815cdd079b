import numpy as np
import pytest

from mmdualhead.evaluation.accuracy import (
    accuracies,
    class_accuracy,
    confusion_matrix,
    mean_class_accuracy,
    ranks_by_head,
    true_class_ranks,
)


@pytest.fixture
def random_scores():
    rng = np.random.default_rng(0)
    return rng.random((200, 7)), rng.integers(0, 7, 200)


def test_rank_counts_classes_scored_above_and_breaks_ties_as_argmax():
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]])
    labels = np.array([0, 2, 0, 1])
    assert true_class_ranks(scores, labels).tolist() == [0, 2, 0, 1]


def test_an_oracle_takes_two_heads_beside_the_fused_score():
    scores, labels = {'fused': np.eye(3)[[1, 1, 1]], 'x': np.eye(3)[[0, 1, 1]]}, np.array([0, 1, 2])
    assert list(ranks_by_head(scores, labels)) == ['fused', 'x']
    ranks = ranks_by_head({**scores, 'y': np.eye(3)[[2, 0, 2]]}, labels)
    assert ranks['oracle'].tolist() == [0, 0, 0]


def test_agrees_with_mmaction(random_scores):
    functional = pytest.importorskip('mmaction.evaluation.functional.accuracy')
    scores, labels = random_scores
    ours = accuracies(true_class_ranks(scores, labels), labels, topk=(1, 3, 5))
    theirs = functional.top_k_accuracy(scores, labels, (1, 3, 5))
    assert [ours['top1'], ours['top3'], ours['top5']] == pytest.approx(theirs)
    assert ours['mean_class'] == pytest.approx(functional.mean_class_accuracy(scores, labels))


def test_mean_class_accuracy_weighs_classes_not_clips_and_leaves_out_empty_ones():
    ranks, labels = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2])
    assert mean_class_accuracy(ranks, labels) == 0.5
    per_class = class_accuracy(ranks, labels, num_classes=4)
    assert per_class[[0, 2]].tolist() == [1.0, 0.0]
    assert np.isnan(per_class[[1, 3]]).all()


def test_top_k_beyond_the_number_of_classes_is_one(random_scores):
    scores, labels = random_scores
    assert accuracies(true_class_ranks(scores, labels), labels, topk=(10,))['top10'] == 1.0


def test_confusion_matrix_rows_are_true_classes():
    scores = np.eye(3)[[0, 1, 1, 2]]
    matrix = confusion_matrix(scores, np.array([0, 0, 1, 1]))
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]

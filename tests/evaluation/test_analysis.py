import numpy as np
import pytest

from mmdualhead.evaluation.analysis import calibration, gains, most_confused


def test_gains_are_differences_of_class_accuracy(make_scores):
    scores, other = make_scores(dual=True, skill=1.0), make_scores(seed=3, skill=0.5)
    result = gains(scores, other)
    assert list(result) == ['coarse', 'fine', 'other']
    for label in range(6):
        clips = scores.labels == label
        fused = np.mean(scores.fused[clips].argmax(axis=1) == label)
        assert result['coarse'][label] == pytest.approx(
            fused - np.mean(scores.heads['coarse'][clips].argmax(axis=1) == label)
        )
        assert result['other'][label] == pytest.approx(
            fused - np.mean(other.fused[clips].argmax(axis=1) == label)
        )
    assert gains(other) == {}


def test_classes_without_clips_have_no_gain(make_scores):
    scores = make_scores(dual=True)
    some = scores.select(np.flatnonzero(scores.labels != 2))
    assert np.isnan(gains(some)['fine']).tolist() == [False, False, True, False, False, False]


def test_most_confused_is_by_share_of_the_true_class():
    matrix = np.array([[90, 10, 0], [2, 2, 0], [1, 0, 9]])
    pairs = [(c.true, c.predicted, c.clips, c.share) for c in most_confused(matrix, top=2)]
    assert pairs == [(1, 0, 2, 0.5), (0, 1, 10, 0.1)]
    assert most_confused(np.diag([3, 4]), top=5) == []


def test_calibration_error_of_a_known_case():
    """Half of the clips 90% sure and always right, half 60% sure and right every other time."""
    scores = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    labels = np.array([0, 0, 0, 0, 0, 1, 0, 1])
    bins = calibration(scores, labels, bins=10)
    assert bins.ece == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    assert bins.clips.sum() == 8
    filled = bins.clips > 0
    assert bins.confidence[filled] == pytest.approx([0.6, 0.9])
    assert bins.accuracy[filled] == pytest.approx([0.5, 1.0])
    assert np.isnan(bins.accuracy[~filled]).all()


def test_confidence_of_exactly_one_falls_into_the_last_bin():
    bins = calibration(np.array([[1.0, 0.0]]), np.array([0]))
    assert bins.clips[-1] == 1
    assert bins.ece == 0

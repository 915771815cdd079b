import numpy as np
import pytest

from mmdualhead.evaluation.errors import ErrorReport, calibration, most_confused
from mmdualhead.evaluation.scores import LabeledScores


def test_tables_tell_heads_classes_and_confusions(make_scores):
    scores, other = make_scores(dual=True, skill=1.0), make_scores(source='rival', seed=9, skill=1.0)
    order = np.random.default_rng(0).permutation(60)
    text = ErrorReport(scores, [f'class {i}' for i in range(6)], other.select(order)).to_markdown()
    lines = text.splitlines()
    top1 = np.mean(scores.fused.argmax(axis=1) == scores.labels)
    assert any(line.startswith(f'| fused | {100 * top1:.2f} |') for line in lines)
    right = [scores.heads[head].argmax(axis=1) == scores.labels for head in ('coarse', 'fine')]
    assert any(line.startswith(f'| oracle | {100 * np.mean(right[0] | right[1]):.2f} |') for line in lines)
    rival = np.mean(other.fused.argmax(axis=1) == other.labels)
    assert any(line.startswith(f'| other | {100 * rival:.2f} |') for line in lines)
    assert '`other` is rival.' in lines
    assert sum(line.startswith('| class ') and line.count('|') == 10 for line in lines) == 7
    worst = next(line for line in lines if line.count('|') == 5 and line.startswith('| class '))
    true, predicted = (int(cell.strip().removeprefix('class ')) for cell in worst.split('|')[1:3])
    assert scores.fused.argmax(axis=1)[scores.labels == true].tolist().count(predicted) >= 1


def test_class_names_must_be_one_a_class(make_scores):
    with pytest.raises(ValueError, match='2 class names for the 6 classes'):
        ErrorReport(make_scores(), ['a', 'b'])


def test_models_must_have_scored_the_same_clips(make_scores):
    with pytest.raises(ValueError, match='1 clip: clip000'):
        ErrorReport(make_scores(), other=make_scores(source='rival').select(range(1, 60)))


def test_the_whole_report_of_a_few_clips():
    """Four clips of two classes, by a model that errs once and one that never does."""
    labels = np.array([0, 0, 1, 1])
    right = np.eye(3)[labels] * 0.7 + 0.1
    wrong = right[[2, 1, 2, 3]]
    names = tuple('abcd')
    scores = LabeledScores(source='m_j', names=names, labels=labels, heads={'fused': wrong})
    assert ErrorReport(scores, ['sit', '*stand*', 'run']).to_markdown() == (
        '# Errors of m_j\n\n4 clips.\n'
        'Accuracies and errors in %, gains of the fused score in percentage points.\n'
        '\n## Scores\n\n'
        '| score | top-1 | top-5 | mean class | calibration error (ECE) |\n'
        '| --- | ---: | ---: | ---: | ---: |\n'
        '| fused | 75.00 | 100.00 | 75.00 | 5.00 |\n'
        '\n## Classes confused most\n\n'
        '| true class | taken for | clips | of its clips |\n| --- | ---: | ---: | ---: |\n'
        '| sit | \\*stand\\* | 1 | 50.00 |\n'
        '\n## Classes\n\n'
        '| class | clips | fused |\n| --- | ---: | ---: |\n'
        '| sit | 2 | 50.00 |\n| \\*stand\\* | 2 | 100.00 |\n| run | 0 | - |\n'
    )
    other = LabeledScores(source='other', names=names, labels=labels, heads={'fused': right})
    text = ErrorReport(scores, other=other).to_markdown()
    assert '| other | 100.00 | 100.00 | 100.00 | 20.00 |' in text
    assert '| 0 | 2 | 50.00 | 100.00 | -50.00 |' in text
    assert '| 2 | 0 | - | - | - |' in text


def test_of_many_confusions_twenty_are_listed(make_scores):
    text = ErrorReport(make_scores(clips=600, skill=0.0)).to_markdown()
    confusions = text.split('## Classes confused most')[1].split('## Classes\n')[0]
    assert confusions.count('\n| ') == 22


def test_gains_are_differences_of_class_accuracy(make_scores):
    scores, other = make_scores(dual=True, skill=1.0), make_scores(seed=3, skill=0.5)
    result = ErrorReport(scores, other=other).gains
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
    assert ErrorReport(other).gains == {}


def test_classes_without_clips_have_no_gain(make_scores):
    scores = make_scores(dual=True)
    some = scores.select(np.flatnonzero(scores.labels != 2))
    assert np.isnan(ErrorReport(some).gains['fine']).tolist() == [False, False, True, False, False, False]


def test_most_confused_is_by_share_of_the_true_class():
    matrix = np.array([[90, 10, 0], [2, 2, 0], [1, 0, 9]])
    assert most_confused(matrix, top=2) == [(1, 0, 2, 0.5), (0, 1, 10, 0.1)]
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


def test_bins_of_confidence_hold_their_upper_edge():
    bins = calibration(np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]), np.array([0, 0, 0]), bins=4)
    assert bins.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert bins.clips.tolist() == [0, 1, 1, 1]
    assert len(calibration(np.ones((1, 1)), np.array([0])).clips) == 15


def test_confidence_of_exactly_one_falls_into_the_last_bin():
    bins = calibration(np.array([[1.0, 0.0]]), np.array([0]))
    assert bins.clips[-1] == 1
    assert bins.ece == 0

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.evaluation.errors import ErrorReport
from mmdualhead.evaluation.scores import LabeledScores, save_scores
from mmdualhead.visualization import draw_confusion, draw_errors, draw_gains, figures

pytest.importorskip('matplotlib')


@pytest.fixture
def figure(monkeypatch):
    """The figures that were drawn, to look into; of few pixels, which changes no proportion."""
    drawn = []
    monkeypatch.setattr(figures, 'DPI', 40)
    make = figures.new_figure
    monkeypatch.setattr(figures, 'new_figure', lambda *size: drawn.append(make(*size)) or drawn[-1])
    return drawn


def make_model(source, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(60) % 5
    heads = {head: rng.dirichlet(np.ones(5), 60) + np.eye(5)[labels] for head in ('fused', 'coarse', 'fine')}
    return LabeledScores(source=source, names=tuple(map(str, range(60))), labels=labels, heads=heads)


def test_every_picture_of_a_report_is_drawn(tmp_path):
    report = ErrorReport(make_model('one', 0), other=make_model('two', 1))
    files = draw_errors(report, tmp_path / 'errors')
    assert sorted(path.name for path in files) == [
        'confusion.png',
        'gain_over_coarse.png',
        'gain_over_fine.png',
        'gain_over_other.png',
        'reliability.png',
    ]
    assert all(path.read_bytes().startswith(b'\x89PNG') for path in files)


def test_confusion_writes_shares_of_the_true_class_into_cells(figure, tmp_path):
    draw_confusion(np.array([[3, 1], [0, 0]]), ['sit', 'stand'], tmp_path / 'confusion.png')
    axes = figure[0].axes[0]
    cells = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts
    }
    assert cells == {(0, 0): '75', (0, 1): '25'}
    assert [label.get_text() for label in axes.get_yticklabels()] == ['sit', 'stand']


def test_cells_and_labels_of_120_classes_do_not_overlap(figure, tmp_path):
    matrix = np.full((120, 120), 1) + 100 * np.eye(120, dtype=int)
    draw_confusion(matrix, [f'a class of some name {i}' for i in range(120)], tmp_path / 'confusion.png')
    axes = figure[0].axes[0]
    cell = axes.transData.transform([(0, 0), (1, 1)])
    width, height = np.abs(cell[1] - cell[0])
    labels = [label.get_window_extent() for label in axes.get_yticklabels()]
    texts = [text.get_window_extent() for text in axes.texts]
    assert max(box.height for box in labels) < height
    assert max(box.width for box in texts) < width
    assert max(box.height for box in texts) < height


def test_gains_show_the_largest_changes_best_on_top(figure, tmp_path):
    gain = np.array([0.0, 0.1, -0.3, np.nan, 0.2])
    draw_gains(gain, list('abcde'), 'one against two', tmp_path / 'gain.png')
    axes = figure[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['c', 'b', 'e']
    assert [text.get_text() for text in axes.texts] == ['-30.0', '+10.0', '+20.0']
    assert '3 changed, 1 unchanged' in axes.get_title()


def test_models_without_any_difference_still_have_a_picture(tmp_path):
    draw_gains(np.zeros(3), list('abc'), 'twins', tmp_path / 'gain.png')
    assert (tmp_path / 'gain.png').stat().st_size


@pytest.fixture
def analyze(monkeypatch, tmp_path):
    """Runs tools/analyze.py on two dumps."""
    tool = str(Path(__file__).parents[2] / 'tools' / 'analyze.py')
    dumps = [str(tmp_path / f'{name}.npz') for name in ('one', 'two')]
    for seed, path in enumerate(dumps):
        save_scores(make_model(path, seed), path)

    def call():
        arguments = [tool, dumps[0], '--against', dumps[1], '--out', str(tmp_path / 'errors')]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(tool, run_name='__main__')

    return call


def test_command_line_writes_table_and_pictures(analyze, tmp_path, capsys):
    analyze()
    files = capsys.readouterr().out.splitlines()
    assert len(files) == 6
    assert all(Path(file).is_file() for file in files)
    assert '## Classes confused most' in (tmp_path / 'errors' / 'errors.md').read_text()


def test_without_matplotlib_the_command_line_still_writes_the_table(analyze, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(SystemExit, match='error: figures need matplotlib'):
        analyze()
    assert [path.name for path in (tmp_path / 'errors').iterdir()] == ['errors.md']


def test_missing_matplotlib_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(ImportError, match='figures need matplotlib: pip install'):
        draw_gains(np.zeros(3), list('abc'), 'twins', tmp_path / 'gain.png')

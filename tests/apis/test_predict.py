"""The command line: a table, files, and bad recordings named and left out."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.datasets.converters.raw_files import write_utd

TOOL = Path(__file__).parents[2] / 'tools' / 'predict.py'


@pytest.fixture
def run(monkeypatch, capsys, checkpoint):
    """A function that runs the tool, and returns its status, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['predict.py', *map(str, arguments), '--model', str(checkpoint)])
        status = 0
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path, recording):
    (tmp_path / 'in').mkdir()
    for i in (1, 2):
        write_utd(tmp_path / 'in' / f'a{i}_s2_t1_skeleton.mat', recording(20, seed=i))
    return tmp_path / 'in'


def test_a_table_for_people(run, folder, checkpoint):
    status, out, errors = run(folder, '--top', 2)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ['recording', 'best', 'classes,', '%']
    assert [line.split()[0] for line in lines if line.startswith('a')] == [
        'a1_s2_t1_skeleton',
        'a2_s2_t1_skeleton',
    ]
    assert f'model: {checkpoint}, 27 classes, layout kinect_v1, stream j' in errors


def test_bad_files_are_left_out_and_the_others_answered(run, folder, tmp_path):
    (folder / 'b.mat').write_bytes(b'nonsense')
    status, out, errors = run(folder, tmp_path / 'nothere.npy')
    assert status == 1
    assert len([line for line in out.splitlines() if line.startswith('a')]) == 2
    assert f'skipped: {folder / "b.mat"}: not a Matlab 5 file' in errors
    assert f'skipped: {tmp_path / "nothere.npy"}: no such file or directory' in errors
    assert '2 of 4 recordings were skipped' in errors


def test_json(run, folder, tmp_path):
    run(folder, '--json', tmp_path / 'out.json', '--top', 3)
    answers = json.loads((tmp_path / 'out.json').read_text())['predictions']
    assert [len(answer['top']) for answer in answers] == [3, 3]
    assert [answer['true_label'] for answer in answers] == [0, 1]


def test_csv(run, folder, tmp_path):
    run(folder, '--csv', tmp_path / 'out.csv', '--top', 3)
    with (tmp_path / 'out.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['rank'] for row in rows] == ['1', '2', '3'] * 2
    assert rows[0]['true_class'] == 'swipe left'


def test_no_model_is_one_sentence(run, folder):
    status, _, _ = run(folder, '--weights', 'nothere.pth')
    assert str(status).startswith('error: ')


def test_pages(run, folder, tmp_path):
    pytest.importorskip('plotly')
    _, _, errors = run(folder, '--view', tmp_path / 'pages')
    index = tmp_path / 'pages' / 'index.html'
    assert f'pages: {index}' in errors
    assert 'a2_s2_t1_skeleton' in index.read_text()
    assert len(list((tmp_path / 'pages').glob('*.html'))) == 3

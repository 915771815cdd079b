"""The command line: a table, files, and bad recordings named and left out."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.evaluation import outputs
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


@pytest.mark.fault('a table of answers named like a recording', '-', 'refused')
def test_recordings_are_not_overwritten(run, folder):
    file = next(folder.iterdir())
    before = file.read_bytes()
    for option in ('--csv', '--json', '--jsonl'):
        status, _, _ = run(file, option, file)
        assert 'is an input, which would be overwritten' in status
    assert file.read_bytes() == before


@pytest.mark.fault('a signal while an answer is written', '-', 'the JSON file is whole')
@pytest.mark.parametrize('at', [2, 3])
def test_a_signal_while_an_answer_is_written_leaves_json_whole(inferencer, recording, monkeypatch, at):
    (answer,) = inferencer(recording())['predictions']

    class Interrupted(io.BytesIO):
        writes = 0

        def write(self, content):
            self.writes += 1
            super().write(content)
            if self.writes == at:
                raise KeyboardInterrupt

    file = Interrupted()
    monkeypatch.setattr(outputs, 'atomic_write', lambda _: contextlib.nullcontext(file))
    with outputs.json_file(Path('x.json'), 5, {}) as write:
        for _ in range(at - 2):
            write(answer)
        with pytest.raises(KeyboardInterrupt):
            write(answer)
    assert len(json.loads(file.getvalue())['predictions']) == at - 1


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


@pytest.mark.fault('predict --csv of an annotation file', '-', 'each row has the name of its clip')
def test_clips_in_csv_have_their_names(run, tmp_path, recording):
    clips = [
        dict(frame_dir=name, label=0, keypoint=recording(9, seed=i)[None]) for i, name in enumerate('ab')
    ]
    (tmp_path / 'mine.pkl').write_bytes(pickle.dumps(clips))
    run(tmp_path / 'mine.pkl', '--csv', tmp_path / 'out.csv', '--top', 1)
    with (tmp_path / 'out.csv').open() as file:
        rows = [(row['recording'], row['name']) for row in csv.DictReader(file)]
    assert rows == [(str(tmp_path / 'mine.pkl'), name) for name in 'ab']


def test_no_classes_to_name_are_an_error(run, folder):
    status, *_ = run(folder, '--top', 0)
    assert status == 'error: top is 0, expected 1 or more'


@pytest.mark.parametrize('option', ['--csv', '--json', '--jsonl'])
def test_an_output_is_printed_and_nothing_else(run, folder, tmp_path, monkeypatch, option):
    monkeypatch.chdir(folder)
    _, out, _ = run('.', option, '-', '--top', 3)
    run('.', option, tmp_path / 'out', '--top', 3)
    assert out == (tmp_path / 'out').read_bytes().decode()
    assert not (folder / '-').exists()


def test_json_is_the_inferencers(run, folder, tmp_path, inferencer):
    (folder / 'b.mat').write_bytes(b'nonsense')
    run(folder, '--json', tmp_path / 'out.json')
    inferencer(str(folder), on_error='skip', batch_size=8, pred_out_file=tmp_path / 'same.json')
    assert (tmp_path / 'out.json').read_bytes() == (tmp_path / 'same.json').read_bytes()


READERS = {
    '--csv': lambda text: len(text.splitlines()) // 5,
    '--json': lambda text: len(json.loads(text)['predictions']),
    '--jsonl': lambda text: len([json.loads(line) for line in text.splitlines()]),
}
"""The number of predictions in a file."""


@pytest.mark.fault(
    'predict stopped by a time limit', 'nothing was printed or written', 'printed and written what was made'
)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('option', ['--csv', '--json', '--jsonl'])
def test_what_was_predicted_before_a_signal_is_kept(run, folder, tmp_path, monkeypatch, number, option):
    every = SkeletonInferencer.iterate

    def stopped(*arguments, **options):
        for answer in every(*arguments, **options):
            yield answer
            os.kill(os.getpid(), number)

    monkeypatch.setattr(SkeletonInferencer, 'iterate', stopped)
    before = signal.getsignal(number)
    status, out, errors = run(folder, option, tmp_path / 'out')
    assert (status, signal.getsignal(number)) == (128 + number, before)
    assert [line.split()[0] for line in out.splitlines() if line.startswith('a')] == ['a1_s2_t1_skeleton']
    assert 'stopped after 1 predictions' in errors
    text = (tmp_path / 'out').read_text()
    assert READERS[option](text) == 1


@pytest.mark.heavy
def test_rows_come_before_the_end(folder, checkpoint, recording, tmp_path):
    np.save(folder / 'zzz.npy', recording(300))
    command = [sys.executable, TOOL, folder, *[folder / 'zzz.npy'] * 2000, '--batch-size', '1']
    with subprocess.Popen(
        [*command, '--model', checkpoint, '--csv', tmp_path / 'out.csv'], stdout=subprocess.PIPE, text=True
    ) as process:
        rows = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        rows += process.stdout.readlines()
    assert process.returncode == 128 + signal.SIGTERM
    assert len(rows) < 1000
    with (tmp_path / 'out.csv').open() as file:
        ranked = list(csv.DictReader(file))
    names = [Path(row['recording']).stem for row in ranked if row['rank'] == '1']
    printed = [row.split()[0] for row in rows[1:] if not row.startswith(' ')]
    assert printed
    assert names[: len(printed)] == printed


def test_columns_are_as_wide_from_the_first_row_on(run, folder, recording):
    np.save(folder / f'b{"x" * 20}.npy', recording(9))
    np.save(folder / f'c{"x" * 99}.npy', recording(9))
    _, out, _ = run(folder, '--top', 1, '--batch-size', 1)
    header, *rows = out.splitlines()
    assert {len(row.split()[0]) for row in rows[-2:]} == {21, 32}
    assert {row[34:] == row[33:].strip() and row[33] == ' ' for row in rows if ' ' in row[:34]} == {True}
    assert header.index('best') == 34


def test_a_row_per_person(run, recording, tmp_path):
    both = np.stack([recording(20, seed=1), np.zeros((20, 20, 3), np.float32), recording(20, seed=2)])
    np.save(tmp_path / 'both.npy', both)
    _, out, _ = run(tmp_path / 'both.npy', '--per-person', '--csv', tmp_path / 'out.csv')
    header, *rows = [line for line in out.splitlines() if not line.startswith(' ')]
    assert header.split()[:2] == ['recording', 'person']
    assert [row.split()[:2] for row in rows] == [['both', '0'], ['both', '2']]
    with (tmp_path / 'out.csv').open() as file:
        assert [row['person'] for row in csv.DictReader(file)] == ['0'] * 5 + ['2'] * 5


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

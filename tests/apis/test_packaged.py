"""The model that the package carries."""

from __future__ import annotations

import resource
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.trained import PACKAGED
from mmdualhead.datasets.converters.utd_mhad import CLASSES
from tests.datasets.converters.raw_files import write_utd

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / 'shared' / 'data' / 'utd_mhad'
README = ROOT / 'README.md'
SECONDS = 4.0


@pytest.fixture(scope='module')
def packaged():
    return SkeletonInferencer(device='cpu')


def test_it_is_small_and_says_what_it_is(packaged):
    (model,) = packaged.models
    assert PACKAGED.stat().st_size < 3_000_000
    assert (model.stream, model.skeleton.name, model.classes) == ('j', 'kinect_v1', CLASSES)
    assert 0.9 < model.meta['accuracy'] < 1
    assert len(model.meta['sha256']) == 64


def test_the_first_lines_of_the_readme_work(recording, tmp_path, monkeypatch, capsys):
    write_utd(tmp_path / 'a1_s2_t1_skeleton.mat', recording())
    monkeypatch.chdir(tmp_path)
    program = README.read_text().split('```python\n')[1].split('```')[0]
    assert len([line for line in program.splitlines() if line.strip()]) == 3
    exec(program, {})
    assert 'Guess(label=' in capsys.readouterr().out


def test_the_example_is_answered(packaged, capsys, monkeypatch):
    (answer,) = packaged(packaged.example())['predictions']
    assert answer.class_name == 'sit to stand'
    assert answer.confidence > 0.9
    assert answer.notes == ()
    monkeypatch.setattr(sys, 'argv', ['predict', '--example'])
    runpy.run_path(str(ROOT / 'tools' / 'predict.py'), run_name='__main__')
    assert f'stand_up   sit to stand {100 * answer.confidence:.1f}, ' in capsys.readouterr().out


def test_the_example_is_what_its_lines_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(PACKAGED.with_name('README.md').read_text().split('```python\n')[1].split('```')[0], {})
    made, shipped = np.load('stand_up.npy'), np.load(SkeletonInferencer.example())
    np.testing.assert_allclose(made, shipped, rtol=0, atol=1.5e-4)  # a digit may be rounded otherwise


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason='the recordings are not at hand')
def test_it_knows_what_people_do(packaged):
    """Subject 2 is not trained on; one recording of every third action."""
    files = [RECORDINGS / f'a{action}_s2_t1_skeleton.mat' for action in range(1, 28, 3)]
    answers = packaged(files, batch_size=9)['predictions']
    assert sum(answer.label == answer.true_label for answer in answers) >= 8


@pytest.mark.heavy
def test_a_cold_start_takes_less_than_four_seconds(recording, tmp_path):
    """Of processor time, import included."""
    write_utd(tmp_path / 'x.mat', recording(60))
    tool = ROOT / 'tools' / 'predict.py'
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(tool), str(tmp_path / 'x.mat')], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS

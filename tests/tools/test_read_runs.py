"""The figures of a run come from its logs and its dumped scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.errors import UserError
from mmdualhead.evaluation.scores import LabeledScores, save_scores
from model_zoo.logs import read_run


def write_session(work_dir: Path, start: str, epochs: range, top1: dict[int, float]) -> None:
    session = work_dir / start
    (session / 'vis_data').mkdir(parents=True)
    rows = [dict(loss=2 - epoch / 10, epoch=epoch, step=7 * epoch) for epoch in epochs]
    rows += [{'acc/top1': value, 'step': epoch} for epoch, value in top1.items()]
    (session / 'vis_data/scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    log = f'2026/11/29 {start[9:11]}:00:00 - mmengine - INFO - x\nConfig:\n'
    log += f'2026/11/29 {start[9:11]}:10:00 - mmengine - INFO - Epoch(train)'
    (session / f'{start}.log').write_text(log)


def test_a_resumed_training(tmp_path):
    write_session(tmp_path, '20261129_010000', range(1, 6), {2: 0.25, 4: 0.75})
    write_session(tmp_path, '20261129_030000', range(5, 9), {6: 0.875})
    write_session(tmp_path, '20261129_050000', range(0), {8: 0.8125})
    assert read_run(tmp_path) == dict(
        loss=[1.8, 1.6, 1.4, 1.2],
        one_clip=[25.0, 75.0, 87.5, 81.2],
        minutes=20,
        last=(8, 81.25),
        best=(6, 87.5),
    )


def test_with_the_scores_of_its_test(tmp_path):
    write_session(tmp_path, '20261129_010000', range(1, 5), {})
    scores = np.eye(6)[[0, 1, 2, 0]]
    other = np.eye(6)[[1, 1, 2, 3]]
    fused = LabeledScores(
        source='',
        names=tuple('abcd'),
        labels=np.array([0, 1, 2, 3]),
        heads=dict(fused=scores, coarse=scores, fine=other),
    )
    save_scores(fused, tmp_path / 'scores.npz')
    found = read_run(tmp_path)
    expected = dict(top1=75.0, top5=100.0, coarse=75.0, fine=75.0, either=100.0)
    assert {name: found[name] for name in expected} == expected
    write_session(tmp_path, '20991129_010000', range(1, 5), {})
    assert not {*expected} & {*read_run(tmp_path)}, 'the new training is not tested yet'


def test_the_newest_of_two_runs(tmp_path):
    write_session(tmp_path, '20261129_010000', range(1, 10), {2: 0.25, 9: 0.75})
    write_session(tmp_path, '20261129_030000', range(1, 5), {2: 0.5, 4: 0.125})
    alone = tmp_path / 'alone'
    write_session(alone, '20261129_030000', range(1, 5), {2: 0.5, 4: 0.125})
    assert read_run(tmp_path) == read_run(alone)


@pytest.mark.fault('`read-runs` of a run of fewer than four epochs', '-', 'the figures that there are')
def test_fewer_epochs_than_quarters(tmp_path):
    write_session(tmp_path, '20261129_010000', range(1, 3), {2: 0.25})
    assert read_run(tmp_path) == dict(
        loss=[1.9, 1.8], one_clip=[25.0], minutes=10, last=(2, 25.0), best=(2, 25.0)
    )


def test_truncated_and_damaged_logs(tmp_path):
    write_session(tmp_path, '20261129_010000', range(1, 5), {2: 0.25})
    expected = read_run(tmp_path)
    session = tmp_path / '20261129_010000'
    log = session / 'vis_data' / 'scalars.json'
    text = log.read_text()
    log.write_text(f'{text}\n{{"loss": 0.')
    assert read_run(tmp_path) == expected
    log.write_text(f'?{text}')
    with pytest.raises(UserError, match=r'scalars\.json, line 1 is damaged'):
        read_run(tmp_path)
    log.write_text('{"loss": 1.0, "step": 9}\n')
    with pytest.raises(UserError, match='by iterations'):
        read_run(tmp_path)
    log.write_text(text)
    (session / '20261129_010000.log').write_text('')
    assert read_run(tmp_path) == {**expected, 'minutes': 0}


def test_without_a_training(tmp_path):
    with pytest.raises(UserError, match='no training log'):
        read_run(tmp_path)

"""``--amp`` through the real command, in bf16 and fp16."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle
from tests.processes.launch import options, read_losses, train

BATCH = 16
LAST = 18
"""Iterations, two epochs, over which the losses at the end of training are averaged."""


def losses(folder: Path, name: str, *arguments: str, processes: int = 1, **settings) -> list[float]:
    """Of a whole training."""
    (folder / name).mkdir()
    recorder = dict(default_hooks__recorder__type='Recorder', default_hooks__recorder__folder=folder / name)
    given = options(**settings, **recorder, model__recompute=True)
    status = train(
        folder, '--no-validate', '--work-dir', name, *arguments, *given, processes=processes, seconds=3000
    )
    assert status == [0] * processes, (folder / 'output_0').read_text()[-2000:]
    return list(read_losses(folder / name).values())


def test_half_precision_with_two_processes_and_recomputing(folder):
    run = dict(train_dataloader__dataset__indices=8, train_cfg__max_epochs=1, train_dataloader__batch_size=2)
    exact = losses(folder, 'exact', processes=2, **run)
    half = losses(folder, 'half', '--amp', processes=2, **run, optim_wrapper__dtype='float16')
    assert half != exact
    assert half == pytest.approx(exact, rel=0.02)


@pytest.mark.heavy
def test_two_hundred_steps_end_where_single_precision_ends(tmp_path):
    """On the embedded data. The noise of single precision is the spread of three seeds."""
    clips = synthetic.generate(subjects=4, repetitions=2)
    write_pickle(tmp_path / 'data' / 'skeleton' / 'synthetic.pkl', clips)
    run = dict(train_cfg__max_epochs=23, train_dataloader__batch_size=BATCH)
    ends = {}
    for name, *arguments in (('0',), ('1',), ('2',), ('bfloat16', '--amp'), ('float16', '--amp')):
        half = dict(optim_wrapper__dtype=name) if arguments else dict(randomness__seed=name)
        found = losses(tmp_path, name, *arguments, **run, **half)
        assert len(found) == 207
        assert all(map(math.isfinite, found))
        ends[name] = sum(found[-LAST:]) / LAST
        print(f'{name}: {found[0]:.3f} first, {ends[name]:.4f} at the end', flush=True)
    seeds = [ends[seed] for seed in '012']
    noise = max(seeds) - min(seeds)
    for half in ('bfloat16', 'float16'):
        assert abs(ends[half] - ends['0']) < noise

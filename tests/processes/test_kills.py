"""Kill -9 at random moments, resume, and so on: nothing corrupt, nothing lost, the same weights."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from mmdualhead.datasets import load_annotations, write_store
from mmdualhead.engine.checkpoints import load_from_local
from tests.processes.launch import KILLED, options, read_losses, start, train, wait

EPOCH = 3
"""Iterations, after each of which there is a checkpoint."""


class Killer:
    """Kills one of the processes of a training run, before or after its first iteration, but always before
    its last, also on a fast machine.

    Args:
        iterations: of the whole run.

    Attributes:
        kills: how often one was hit before it ended.
        repeated: iterations that were computed once more after a kill.
    """

    def __init__(self, folder: Path, run: list[str], processes: int, iterations: int) -> None:
        self.folder, self.run, self.processes, self.iterations = folder, run, processes, iterations
        self.moments = random.Random(0)
        self.kills = 0
        self.repeated: list[int] = []

    def strike(self) -> bool:
        """Train, kill and look at what is left; False if the training ended before."""
        before = self.written()
        running = start(
            self.folder, '--no-validate', '--resume', '--work-dir', 'cut', *self.run, processes=self.processes
        )
        if self.moments.random() < 0.7:
            while self.written() == before and not has_ended(running[0]):
                time.sleep(0.01)
        deadline = time.monotonic() + self.moments.uniform(0, 1.5)
        while time.monotonic() < deadline and self.last() < self.iterations - 2:
            time.sleep(0.01)
        victim = self.moments.choice(running)
        os.kill(victim, signal.SIGKILL)
        for process in set(running) - {victim}:  # as torchrun does; it may still wait for the others to start
            os.killpg(process, signal.SIGTERM)
        statuses = wait(running, 60)
        for file in (self.folder / 'cut').glob('*.pth'):
            load_from_local(file)
        if KILLED not in statuses:
            return False
        self.kills += 1
        self.repeated.append(max(self.last() - self.iterations_saved(), 0))
        return True

    def written(self) -> str:
        """What the first process has written: an iteration and its loss a line."""
        file = self.folder / 'cut' / 'losses_0'
        return file.read_text() if file.is_file() else ''

    def last(self) -> int:
        """The newest iteration, from 1."""
        *_, whole, _ = ['', *self.written().split('\n')]
        return int(whole.split()[0]) if whole else 0

    def iterations_saved(self) -> int:
        """Of the newest checkpoint."""
        files = (self.folder / 'cut').glob('epoch_*.pth')
        return max((load_from_local(file)['meta']['iter'] for file in files), default=0)


def has_ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_at_random(
    folder: Path, times: int, *, processes: int = 1, workers: int = 0, store: bool = False, epochs: int
) -> Killer:
    file = folder / 'data' / 'skeleton' / 'synthetic.pkl'
    if store:
        write_store(file.with_suffix('.store'), load_annotations(file))
        file = file.with_suffix('.store')
    run = dict(
        train_dataloader__dataset__ann_file=file,
        train_dataloader__dataset__indices=EPOCH * 2 * processes,
        train_dataloader__batch_size=2,
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=workers > 0,
        train_cfg__max_epochs=epochs,
        default_hooks__recorder__type='Recorder',
    )
    for name in ('whole', 'cut'):
        (folder / name).mkdir()
    whole = options(**run, default_hooks__recorder__folder=folder / 'whole')
    cut = options(**run, default_hooks__recorder__folder=folder / 'cut')
    command = ('--no-validate', '--resume', '--work-dir')
    everything = dict(processes=processes, seconds=900)
    assert train(folder, *command, 'whole', *whole, **everything) == [0] * processes

    killer = Killer(folder, cut, processes, EPOCH * epochs)
    while killer.kills < times and killer.strike():
        pass
    assert train(folder, *command, 'cut', *cut, **everything) == [0] * processes
    assert max(killer.repeated) <= EPOCH
    assert read_losses(folder / 'cut') == read_losses(folder / 'whole')
    ends = (load_from_local(folder / name / f'epoch_{epochs}.pth')['state_dict'] for name in ('whole', 'cut'))
    torch.testing.assert_close(*ends, rtol=0, atol=0)
    return killer


@pytest.mark.fault(
    'kill -9 at a random moment, with workers, on a store',
    'the epoch is lost, other random numbers; a checkpoint may be cut off',
    'no file is corrupt; `--resume` repeats the running epoch at most; the same weights bit for bit',
)
def test_one_kill(folder):
    assert kill_at_random(folder, 1, workers=1, store=True, epochs=3).kills == 1


@pytest.mark.heavy
@pytest.mark.parametrize(
    'setup',
    [
        pytest.param(dict(workers=2), id='workers'),
        pytest.param(dict(store=True), id='store'),
        pytest.param(dict(processes=2), id='processes'),
        pytest.param(dict(processes=2, workers=1, store=True), id='all'),
    ],
)
def test_fifteen_kills(folder, setup):
    killer = kill_at_random(folder, 15, **setup, epochs=40)
    print(f'{setup}: {killer.kills} kills, repeated iterations {killer.repeated}, none lost, none corrupt')
    assert killer.kills >= 10

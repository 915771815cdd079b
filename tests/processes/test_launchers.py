"""The launchers that docs/distributed.md names, each with two processes: they train the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmdualhead.program import shipped
from tests.processes.launch import descendants, free_port, options, train

pytestmark = pytest.mark.heavy

RUN = options(
    train_dataloader__dataset__indices=24,
    train_dataloader__batch_size=2,
    train_cfg__max_epochs=1,
    default_hooks__logger__interval=1,
)
CONFIG = str(shipped('configs') / 'quickstart_j.py')
TORCHRUN = [sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run']
PROGRAM = ['-m', 'mmdualhead', 'train', 'quickstart_j', '--launcher', 'pytorch', '--no-validate']
MIM = [str(Path(sys.executable).with_name('mim')), 'train', 'mmaction2', CONFIG]


def machine(rank: int, port: int) -> list[str]:
    address = f'--nnodes=2 --node-rank={rank} --nproc-per-node=1 --master-addr=127.0.0.1 --master-port={port}'
    return [*TORCHRUN, *address.split(), *PROGRAM]


def commands(launcher: str) -> list[list[str]]:
    port = free_port()
    return {
        'mim': [[*MIM, '--launcher', 'pytorch', '--gpus', '2', '--no-validate']],
        'torchrun': [[*TORCHRUN, '--standalone', '--nproc-per-node', '2', *PROGRAM]],
        'two machines': [machine(0, port), machine(1, port)],
    }[launcher]


@pytest.fixture
def expected(folder, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')  # as train's processes
    assert train(folder, '--no-validate', '--work-dir', 'expected', *RUN, processes=2) == [0, 0]
    return torch.load(folder / 'expected' / 'epoch_1.pth')['state_dict']


def check(folder, expected):
    found = torch.load(folder / 'run' / 'epoch_1.pth')['state_dict']
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize('launcher', ['mim', 'torchrun', 'two machines'])
def test_launchers(folder, expected, launcher):
    running = [
        subprocess.Popen([*command, '--work-dir', 'run', *RUN], cwd=folder) for command in commands(launcher)
    ]
    assert [process.wait(200) for process in running] == [0] * len(running)
    check(folder, expected)


def test_slurm(folder, expected):
    """In the environment that srun gives its tasks."""
    command = ('--no-validate', '--work-dir', 'run', *RUN)
    assert train(folder, *command, processes=2, launcher='slurm') == [0, 0]
    check(folder, expected)


@pytest.mark.parametrize('rank', [0, 1])
def test_a_killed_process_ends_torchrun(folder, rank):
    (command,) = commands('torchrun')
    log = folder / 'log'
    with log.open('w') as output:
        torchrun = subprocess.Popen(
            [*command, '--work-dir', 'run', *RUN, 'train_cfg.max_epochs=50'],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    while 'Saving checkpoint at 1 epochs' not in log.read_text():
        assert torchrun.poll() is None, log.read_text()
        time.sleep(0.02)
    _, *processes = descendants(torchrun.pid)
    begin = time.monotonic()
    os.kill(processes[rank], signal.SIGKILL)
    assert torchrun.wait(60) == 1
    print(f'ended after {time.monotonic() - begin:.1f} s')

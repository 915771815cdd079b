"""A training under torchrun, with workers, that is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.processes.launch import descendants, options

TORCHRUN = [
    sys.executable,
    '-W',
    'ignore',
    '-m',
    'torch.distributed.run',
    '--standalone',
    '--nproc-per-node',
    '2',
]
RUN = [
    *('-m', 'mmdualhead', 'train', 'quickstart_j', '--launcher', 'pytorch', '--no-validate'),
    *options(
        train_dataloader__dataset__indices=24,
        train_dataloader__batch_size=2,
        train_dataloader__num_workers=1,
        train_dataloader__persistent_workers=True,
        default_hooks__logger__interval=1,
        train_cfg__max_epochs=1,
    ),
]


def start(folder: Path, work_dir: str, *arguments: str) -> tuple[subprocess.Popen, Path]:
    """A training in ``OMP_NUM_THREADS`` threads a process, and what it prints."""
    log = folder / f'{work_dir}{len(arguments)}.log'
    with log.open('w') as output:
        command = [*TORCHRUN, *RUN, '--work-dir', work_dir, *arguments]
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output), log


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs /proc')
@pytest.mark.fault(
    'SIGTERM to torchrun and to all processes that it has started, as schedulers do',
    'the epoch is lost',
    'saves once; `--resume` goes on and ends as without the signal',
)
def test_a_scheduler_ends_torchrun(folder):
    whole, log = start(folder, 'whole')
    assert whole.wait(300) == 0, log.read_text()

    cut, log = start(folder, 'cut')
    while 'Epoch(train) [1][2/6]' not in log.read_text():
        assert cut.poll() is None, log.read_text()
        time.sleep(0.02)
    for number in descendants(cut.pid):
        os.kill(number, signal.SIGTERM)
    assert cut.wait(60) != 0
    assert log.read_text().count('stopped by SIGTERM in epoch 1; saved as ') == 1

    resumed, log = start(folder, 'cut', '--resume')
    assert resumed.wait(300) == 0, log.read_text()
    assert 'epoch 1 continues after batch' in log.read_text()
    weights = (torch.load(folder / name / 'epoch_1.pth')['state_dict'] for name in ('whole', 'cut'))
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    assert not (folder / 'cut' / 'interrupted.pth').exists()

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

from tests.processes.launch import descendants, options, train

RUN = dict(
    train_dataloader__dataset__indices=24,
    train_dataloader__batch_size=2,
    train_dataloader__num_workers=1,
    train_dataloader__persistent_workers=True,
    default_hooks__logger__interval=1,
)


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs /proc')
@pytest.mark.fault(
    'SIGTERM to torchrun and to all processes that it has started, as schedulers do',
    'the epoch is lost',
    'saves once; `--resume` goes on and ends as without the signal',
)
def test_a_scheduler_ends_torchrun(folder):
    run = options(**RUN, train_cfg__max_epochs=1)
    assert train(folder, '--no-validate', '--work-dir', 'whole', *run, processes=2) == [0, 0]

    torchrun = [sys.executable, '-W', 'ignore', '-m', 'torch.distributed.run', '--standalone']
    command = [*torchrun, '--nproc-per-node', '2', '-m', 'mmdualhead', 'train', 'quickstart_j']
    arguments = ['--launcher', 'pytorch', '--no-validate', '--work-dir', 'cut', *run]
    log = folder / 'torchrun.log'
    with log.open('w') as output:
        process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=output, stderr=output)
    while 'Epoch(train) [1][2/6]' not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    for number in descendants(process.pid):
        os.kill(number, signal.SIGTERM)
    assert process.wait(60) != 0
    assert log.read_text().count('stopped by SIGTERM in epoch 1; saved as ') == 1

    assert train(folder, '--no-validate', '--resume', '--work-dir', 'cut', *run, processes=2) == [0, 0]
    assert 'epoch 1 goes on after batch' in (folder / 'output_0').read_text()
    weights = (torch.load(folder / name / 'epoch_1.pth')['state_dict'] for name in ('whole', 'cut'))
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    assert not (folder / 'cut' / 'interrupted.pth').exists()

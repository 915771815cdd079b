import subprocess
import sys

import pytest

resource = pytest.importorskip('resource')

PROGRAM = """
import resource, sys
import torch
from torch.utils.data import DataLoader
import mmdualhead
from mmdualhead.engine.loaders import allow_many_files

resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
if sys.argv[2] == 'allowed':
    allow_many_files()
clips = [torch.tensor([float(i)]) for i in range(200)]
how = dict(num_workers=2, collate_fn=list, timeout=60)
batches = DataLoader(clips, 50, **how)
kept = list(batches)
print(sum(float(clip) for batch in kept for clip in batch))
"""


def run(hard: int, how: str) -> subprocess.CompletedProcess:
    command = [sys.executable, '-W', 'ignore', '-c', PROGRAM, str(hard), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize('hard', [64, 4096])
@pytest.mark.fault(
    '`ulimit -n 256` with batches of 64 clips and 4 workers', 'hangs', 'trains: tensors are shared by name'
)
def test_few_open_files_are_enough(hard):
    done = run(hard, 'allowed')
    assert done.stdout.strip() == str(float(sum(range(200)))), done.stderr


def test_a_batch_that_cannot_be_handed_over_ends_the_run():
    done = run(64, 'not')
    assert done.returncode == 1
    assert 'a data loading worker cannot deliver its batch: ' in done.stderr or 'Too many' in done.stderr

import os
import traceback
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from mmdualhead.engine.loaders import allow_many_files

resource = pytest.importorskip('resource')


def run(log: Path, allowed: bool, *hard: int) -> int:
    """Keep all batches, in a process that may open 64 files, or what each of the hard limits allows.

    Returns:
        Its exit status; what it prints is in the log.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.closerange(3, 4096)  # what the test run holds
            for limit in hard:
                resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit))
                if allowed:
                    allow_many_files()
                os.write(1, b'%d\n' % sum_of_kept_batches())
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sum_of_kept_batches() -> int:
    clips = [torch.tensor([i]) for i in range(200)]
    kept = list(DataLoader(clips, 50, num_workers=2, collate_fn=list, timeout=60))
    return sum(int(clip) for batch in kept for clip in batch)


@pytest.mark.fault(
    '`ulimit -n 256` with batches of 64 clips and 4 workers', 'hangs', 'trains: tensors are shared by name'
)
def test_few_open_files_are_enough(tmp_path):
    log = tmp_path / 'log'
    assert run(log, True, 4096, 64) == 0, log.read_text()
    assert log.read_text().split() == [str(sum(range(200)))] * 2


def test_a_batch_that_cannot_be_handed_over_ends_the_run(tmp_path):
    log = tmp_path / 'log'
    assert run(log, False, 64) == 1
    said = log.read_text()
    assert 'a data loading worker cannot deliver its batch: ' in said or 'Too many' in said

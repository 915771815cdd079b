"""Conversions that are interrupted or killed from outside, as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# The packages above the converters import MMAction2, which takes too long here; they are left out.
SCRIPT = """
import os, sys, time, types
from pathlib import Path
import numpy as np
for name, path in (('mmdualhead', {package!r}), ('mmdualhead.datasets', {package!r} + '/datasets')):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from mmdualhead.datasets.converters import Clip, RawDataset, Recording, cli

def read(recording):
    pids.joinpath(str(os.getpid())).touch()
    time.sleep(0.02)
    return Clip(np.ones((1, 2, 1, 2)), 0)

def scan(src):
    files = sorted(Path(src).iterdir())
    recordings = [Recording(path.name, path, 0, splits=('train',)) for path in files]
    meta = dict(dataset='x', layout=dict(joints=1, bones=[]))
    return RawDataset(meta=meta, recordings=recordings, read=read)

if __name__ == '__main__':
    src, out, pids = map(Path, sys.argv[1:])
    cli.run(cli.make_parser(''), scan, [str(src), str(out), '--workers', '2'])
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')')[-1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def count_read(journal: Path) -> int:
    """How many raw files an unfinished conversion has read: the lines after the first."""
    return max(0, journal.read_bytes().count(b'\n') - 1) if journal.exists() else 0


def stop_early(command: list[str], journal: Path, number: signal.Signals) -> subprocess.CompletedProcess:
    """Start the command and stop it once it has read 32 more files; a terminal interrupts all processes."""
    before = count_read(journal)
    # Shells start background jobs with interrupts ignored, which a test run may have inherited.
    run = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: count_read(journal) >= before + 32 or run.poll() is not None)
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    error = run.communicate(timeout=60)[1]
    return subprocess.CompletedProcess(command, run.returncode, stderr=error)


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='looks processes up in /proc')
def test_nothing_is_lost_and_no_worker_stays(tmp_path: Path) -> None:
    src, out, pids, folder = (tmp_path / name for name in ('src', 'out.pkl', 'pids', 'out.pkl.unfinished'))
    journal = folder / 'read.jsonl'
    src.mkdir()
    pids.mkdir()
    for i in range(800):
        (src / f'{i:03d}').touch()
    package = str(Path(__file__).parents[3] / 'mmdualhead')
    (tmp_path / 'script.py').write_text(SCRIPT.format(package=package))
    command = [sys.executable, str(tmp_path / 'script.py'), str(src), str(out), str(pids)]

    killed = stop_early(command, journal, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    wait_for(lambda: not any(is_alive(int(path.name)) for path in pids.iterdir()))
    kept = count_read(journal)

    interrupted = stop_early(command, journal, signal.SIGINT)
    assert interrupted.returncode == 1
    assert f'continuing: {kept} of 800 raw files were read before' in interrupted.stderr
    assert interrupted.stderr.splitlines()[-1] == f'stopped; the same command continues from {folder}'
    assert 'Traceback' not in interrupted.stderr
    assert not any(is_alive(int(path.name)) for path in pids.iterdir())
    assert kept < count_read(journal) < 800
    assert not out.exists()

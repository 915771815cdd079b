"""Every converter killed at random times and started again, as real processes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.converters.raw_dataset import UNFINISHED_SUFFIX

from .raw_files import (
    kinetics_frame,
    ntu_frames,
    standing,
    write_kinetics,
    write_msr,
    write_ntu,
    write_ucla,
    write_utd,
)
from .test_interruption import count_read

TOOLS = Path(__file__).parents[3] / 'tools' / 'data'
LIGHT = Path(__file__).parents[2] / 'light.py'
NUM_CLIPS = 96


def make_ntu(src: Path) -> None:
    for i in range(NUM_CLIPS):
        frames = ntu_frames({'7': (0, standing(25, 30, i))}, 30)
        write_ntu(src / f'S001C{1 + i % 3:03d}P{1 + i % 4:03d}R001A{1 + i // 12:03d}.skeleton', frames)


def make_kinetics(src: Path) -> None:
    data = [kinetics_frame(t, np.full((18, 3), 0.4)) for t in range(60)]
    for split in ('train', 'val'):
        write_kinetics(src, split, {f'{split}{i:03d}': (i % 5, data) for i in range(NUM_CLIPS // 2)})


def make_utd_mhad(src: Path) -> None:
    for i in range(NUM_CLIPS):
        write_utd(src / f'a{1 + i // 8}_s{1 + i % 8}_t1_skeleton.mat', standing(20, 50, i))


def make_msr_action3d(src: Path) -> None:
    for i in range(NUM_CLIPS):
        write_msr(src / f'a{1 + i // 8:02d}_s{1 + i % 8:02d}_e01_skeleton3D.txt', standing(20, 30, i))


def make_nw_ucla(src: Path) -> None:
    for i in range(NUM_CLIPS):
        action = 1 + i // 24
        write_ucla(
            src / f'a{action:02d}_s01_e{i % 8:02d}_v{1 + i // 8 % 3:02d}.json', action, standing(20, 30, i)
        )


def make_custom(src: Path) -> None:
    lines = ['clip,label,split']
    for i in range(NUM_CLIPS):
        np.save(src / f'{i:03d}.npy', standing(20, 200, i))
        lines.append(f'{i:03d}.npy,{i % 3},{"val" if i % 4 == 0 else "train"}')
    (src / 'labels.csv').write_text('\n'.join(lines))


CONVERTERS: dict[str, Callable[[Path], None]] = {
    'ntu': make_ntu,
    'kinetics': make_kinetics,
    'utd_mhad': make_utd_mhad,
    'msr_action3d': make_msr_action3d,
    'nw_ucla': make_nw_ucla,
    'custom': make_custom,
}


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name.replace('expected', 'out'): file.read_bytes() for file in files}


def kill_at_random(name: str, store: bool, kills: int, folder: Path, rng: random.Random) -> Counter:
    """Kill a converter ``kills`` times; each time that it survives, it begins anew over its older result.

    Returns:
        How many kills there were; raw files that were read once more; results that were corrupt, or not those
        of a conversion that nothing disturbed; files that stayed.
    """
    src, suffix = folder / 'src', '.store' if store else '.pkl'
    out, expected = folder / 'result' / f'out{suffix}', folder / f'expected{suffix}'
    src.mkdir(parents=True)
    CONVERTERS[name](src)
    unfinished = out.with_name(out.name + UNFINISHED_SUFFIX)

    def command(target: Path) -> list[str]:
        options = ['--store'] * store + ['--workers', '2']
        options += ['--labels', str(src / 'labels.csv'), '--layout', 'kinect_v1'] * (name == 'custom')
        return [sys.executable, str(LIGHT), str(TOOLS / f'{name}.py'), str(src), str(target), *options]

    def lost(before: int) -> bool:
        """Whether the run that wrote the log did not continue after what was read before it."""
        continued = re.search(r'continuing: (\d+) of', (folder / 'log').read_text())
        return bool(continued) and int(continued[1]) < before

    begin = time.monotonic()
    subprocess.run(command(expected), check=True, capture_output=True)
    duration = time.monotonic() - begin
    counts, before = Counter(kills=0, lost=0, corrupt=0, left=0), 0
    while counts['kills'] < kills:
        with (folder / 'log').open('wb') as log:
            run = subprocess.Popen(
                command(out), stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        begin = time.monotonic()
        try:
            assert run.wait(rng.uniform(0.3, 1.1) * duration) == 0
            duration = time.monotonic() - begin  # of other work the machine may have more or less by now
            counts['corrupt'] += contents(out) != contents(expected)
            counts['left'] += len(list(out.parent.iterdir())) - 1
            (shutil.rmtree if store else os.unlink)(out)
        except subprocess.TimeoutExpired:
            rng.choice([os.kill, os.killpg])(run.pid, signal.SIGKILL)
            run.wait()
            counts['kills'] += 1
            if out.exists():
                open_annotations(out)
                counts['corrupt'] += contents(out) != contents(expected)
        counts['lost'] += lost(before)
        before = 0 if out.exists() else count_read(unfinished / 'read.jsonl')
    subprocess.run(command(out), check=True, capture_output=True)
    counts['corrupt'] += contents(out) != contents(expected)
    counts['left'] += len(list(out.parent.iterdir())) - 1
    return counts


@pytest.mark.fault(
    'kill -9 of a conversion at random times', '-', 'the same command continues; nothing lost or corrupt'
)
def test_a_killed_conversion_goes_on(tmp_path: Path) -> None:
    counts = kill_at_random('custom', store=True, kills=2, folder=tmp_path, rng=random.Random(0))
    assert counts == Counter(kills=2, lost=0, corrupt=0, left=0)


@pytest.mark.heavy
@pytest.mark.parametrize('store', [False, True])
@pytest.mark.parametrize('name', CONVERTERS)
def test_every_converter_survives_kills(tmp_path: Path, name: str, store: bool) -> None:
    counts = kill_at_random(name, store, kills=20, folder=tmp_path, rng=random.Random(name))
    print(name, 'store' if store else 'pickle', dict(counts))
    assert counts == Counter(kills=20, lost=0, corrupt=0, left=0)

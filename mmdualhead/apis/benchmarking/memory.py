"""Peak memory of a network, in a process that runs nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import torch

from .lineup import EVAL, TRAIN, Contestant
from .session import Session, Settings

CALLS = 2
STATUS = Path('/proc/self/status')


def peak_memory(contestant: Contestant, settings: Settings) -> dict[str, int]:
    """Bytes that a network needs at most, weights and batch included, libraries not.

    Args:
        contestant: the network.
        settings: how it runs.

    Returns:
        The peak of each phase; on the CPU by the operating system's account, on a GPU by PyTorch's allocator.
        A phase that did not fit is missing.
    """
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(_peaks, contestant, settings).result()
        except BrokenProcessPool:  # killed by the system for want of memory
            return {}


def _peaks(contestant: Contestant, settings: Settings) -> dict[str, int]:
    settings.apply()
    peak = _cuda_meter(settings.device) if settings.on_cuda else _process_meter()
    peaks: dict[str, int] = {}
    session = Session(contestant, settings)
    if settings.compile:
        session.compile(settings.compile)
    for phase in (EVAL, TRAIN):  # training needs more, so that the peak of the first does not hide its own
        if phase not in contestant.phases:
            continue
        try:
            for _ in range(CALLS):
                session.call(phase)
        except torch.cuda.OutOfMemoryError:
            return peaks
        peaks[phase] = peak()
    return peaks


def _cuda_meter(device: str) -> Callable[[], int]:
    return lambda: torch.cuda.max_memory_allocated(device)


def _process_meter() -> Callable[[], int]:
    """Peak minus what is resident now, with all libraries loaded."""
    before = _resident('VmRSS')
    return lambda: _resident('VmHWM') - before


def _resident(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most.

    Linux hands the peak that getrusage reports down from the parent process, so it is only the second choice.
    """
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
        return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak

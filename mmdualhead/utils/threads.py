"""Threads: only as many as cores are idle, and the next item made while the present one is in use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar('T')

LOADAVG, TASKS = Path('/proc/loadavg'), Path('/proc/self/task')

_END = object()


@contextmanager
def only_idle_cores() -> Iterator[None]:
    """Limit this thread's PyTorch operations to as many threads as there are idle cores.

    An operation that is split over the cores waits, busily, for the slowest one. Where another program has
    that core, the part there may not even have begun, so two threads are then far slower than one.
    """
    before = torch.get_num_threads()
    threads = min(before, idle_cores()) if before > 1 else before
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def idle_cores() -> int:
    """The number of cores that no other program uses at this moment, at least one.

    Known on Linux only; elsewhere it is the number of all cores.
    """
    cores = os.cpu_count() or 1
    try:
        running = int(LOADAVG.read_text().split()[3].split('/')[0])
        own = sum(_is_running(task) for task in TASKS.iterdir())
    except (OSError, ValueError, IndexError):
        return cores
    return max(1, min(cores, cores - (running - own)))


def _is_running(task: Path) -> bool:
    return (task / 'stat').read_text().rpartition(')')[2].split()[0] == 'R'


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Items in their order, the next one made in another thread while the caller uses the present one.

    An error is raised in the place of its item. The thread ends with the iterator.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, 'ahead') as worker:
        following: Any = worker.submit(next, source, _END)
        while (item := following.result()) is not _END:
            following = worker.submit(next, source, _END)
            yield item

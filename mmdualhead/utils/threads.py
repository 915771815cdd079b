"""Work in several threads: persons side by side, and the next item while the present one is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock
from typing import Any, TypeVar

import torch

T = TypeVar('T')

_starting = Lock()
"""A thread starts with PyTorch's number of threads, which the start of workers changes for a moment."""

_END = object()


@contextmanager
def workers(count: int, threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads have all started, and run their PyTorch operations in ``threads`` threads each.

    With one each, no operation waits for another thread, as every product that is split over the cores does:
    at its end it waits, busily, for the slowest core, which beside other programs may not even have begun.
    """
    ready = Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # which a new thread takes from all others at its first use, and then no more
        torch.set_num_threads(threads)
        ready.wait()

    with ThreadPoolExecutor(count, 'mmdualhead', start) as pool:
        with _starting:
            before = torch.get_num_threads()
            try:
                for _ in range(count):
                    pool.submit(int)
                ready.wait()
            except BaseException:
                ready.abort()
                raise
            finally:
                torch.set_num_threads(before)
        yield pool


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

"""Work in several threads: persons side by side, and the next item while the present one is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar('T')

_starting = Lock()
"""A thread starts with PyTorch's number of threads, which the start of workers changes for a moment."""

_END = object()


def side_by_side(function: Callable[[Tensor], T], rows: Tensor, parts: int) -> list[T]:
    """The results of a function for parts of a tensor, each computed in a thread of its own.

    The threads share those of PyTorch: on two cores, two parts run their operations in one thread each. No
    operation waits for another thread, as every product that is split over the cores does, at its end and
    busily, for the slowest of them.

    Args:
        function: of some rows; grad mode, autocast and other settings of this thread do not reach it.
        rows: split along the first axis.
        parts: how many.
    """
    if parts < 2:
        return [function(rows)]
    ready = Barrier(parts + 1)

    def start(threads: int) -> None:
        torch.get_num_threads()  # which a new thread takes from all others at its first use, and then no more
        torch.set_num_threads(threads)
        ready.wait()

    with _starting:
        threads = torch.get_num_threads()
    with ThreadPoolExecutor(parts, 'persons', start, (max(1, threads // parts),)) as workers:
        with _starting:
            try:
                results = [workers.submit(function, part) for part in rows.tensor_split(parts)]
                ready.wait()
            except BaseException:
                ready.abort()
                raise
            finally:
                torch.set_num_threads(threads)
        return [result.result() for result in results]


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

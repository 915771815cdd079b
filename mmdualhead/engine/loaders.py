"""Data loaders whose clips and random numbers depend only on the seed, the iteration and the clip.

A run resumed in the middle of an epoch therefore sees the same data as an uninterrupted one, with any number
of workers.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice, repeat
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

ENOUGH_FILES = 1 << 14
"""The number of open files that suffices for the batches of all workers."""

LOADER_ARGUMENTS = (
    *('num_workers', 'prefetch_factor', 'persistent_workers', 'multiprocessing_context', 'worker_init_fn'),
    *('collate_fn', 'pin_memory', 'timeout'),
)
"""Arguments of a loader that are kept."""


def allow_many_files() -> None:
    """Let workers deliver their batches even with a low limit of open files.

    If the system allows too few, tensors are shared by file name, so that files need not stay open.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES:
        return
    with suppress(ValueError, OSError):  # macOS has limits beyond the hard one
        most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most == ENOUGH_FILES:
            return
    multiprocessing.set_sharing_strategy('file_system')


def end_on_lost_batch(error: Exception) -> None:
    """End a worker that cannot deliver a batch, for which the main process would wait forever.

    :mod:`mmdualhead.compat` lets Python's queues call it. In other processes it does nothing.
    """
    if get_worker_info() is not None:
        os.write(2, f'a data loading worker cannot deliver its batch: {error}\n'.encode())
        os._exit(1)


def seed_all(*numbers: int) -> None:
    """Seed Python's, NumPy's and PyTorch's random numbers with several numbers, each at least 0."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class SeededDataset(Dataset):
    """A data set indexed by (iteration, index), which seeds all random numbers with them first.

    Args:
        dataset: the data set.
        seed: of the run.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: tuple[int, int]) -> Any:
        seed_all(self.seed, *place)
        return self.dataset[place[1]]

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not set while a worker unpickles this
            raise AttributeError(name)
        return getattr(self.dataset, name)


class NumberedBatches:
    """A batch sampler that pairs each clip with its iteration, and can start later.

    Args:
        batches: the batch sampler, of indices.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.first = 0
        self.skip = 0

    @property
    def sampler(self) -> Any:
        """The sampler of single clips, whose epoch mmengine sets."""
        return self.batches.sampler

    @property
    def total(self) -> int:
        """The number of batches of a full epoch."""
        return len(self.batches)

    def begin(self, first: int, skip: int = 0) -> None:
        """Prepare the next pass: skip ``skip`` batches; the next one is of iteration ``first``."""
        self.first, self.skip = first, skip

    def __len__(self) -> int:
        return self.total - self.skip

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rest = islice(iter(self.batches), self.skip, None)
        for iteration, batch in enumerate(rest, self.first):
            yield [(iteration, index) for index in batch]


def make_resumable(loader: DataLoader, seed: int) -> DataLoader:
    """The same loader over a :class:`SeededDataset` in :class:`NumberedBatches`.

    Loaders of streams, which have no order to start in, are returned unchanged.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return loader
    return DataLoader(
        SeededDataset(loader.dataset, seed),
        batch_sampler=NumberedBatches(loader.batch_sampler),
        **{name: getattr(loader, name) for name in LOADER_ARGUMENTS},
    )


def endless_batches(loader: DataLoader, done: int) -> Iterator[Any]:
    """The batches of an iteration-based run, from a later one on.

    Args:
        loader: of :func:`make_resumable`.
        done: the number of batches trained on before. None is yielded as many times, at no cost, since
            mmengine's loop skips batches by requesting them.
    """
    yield from repeat(None, done)
    batches: NumberedBatches = loader.batch_sampler
    is_endless = isinstance(batches.sampler, InfiniteSampler)
    first, skip = (0, done) if is_endless else divmod(done, batches.total)
    for epoch in count(first):
        # Only now, since mmengine's DistSamplerSeedHook sets an epoch as well.
        if hasattr(batches.sampler, 'set_epoch'):
            batches.sampler.set_epoch(epoch)
        batches.begin(done, skip)
        for batch in loader:
            yield batch
            done += 1
        skip = 0

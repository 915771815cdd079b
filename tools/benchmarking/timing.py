"""Time calls against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch


def time_interleaved(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time calls in rounds, each once per round (A B C A B C ...), so that noise affects all alike.

    PyTorch's ``Timer`` times one call at a time, and runs it twice more before each measurement.

    Args:
        calls: by name.
        repeats: timed rounds.
        warmup: rounds before them.
        clock: returns seconds; for a GPU, one that waits for it.

    Returns:
        The seconds of all calls except those that ran out of GPU memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warmup + repeats):
        for name in list(seconds):
            start = clock()
            try:
                calls[name]()
            except torch.cuda.OutOfMemoryError:
                del seconds[name]
                torch.cuda.empty_cache()
            else:
                seconds[name].append(clock() - start)
    return {name: samples[warmup:] for name, samples in seconds.items()}

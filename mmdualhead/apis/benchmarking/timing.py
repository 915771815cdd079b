"""Times of several networks, measured in turns so that noise hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls.

    Args:
        samples: in the order in which they were measured.
    """

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which the middle half of the samples lies."""
        if len(self.samples) == 1:
            return self.samples * 2
        low, _, high = quantiles(self.samples, n=4, method='inclusive')
        return low, high


def take_turns(
    calls: Mapping[str, Call], *, repeats: int, warmup: int, clock: Callable[[Call], float]
) -> dict[str, Timing]:
    """Time calls in rounds, each once a round: A B C A B C ...

    Args:
        calls: by name.
        repeats: rounds that count.
        warmup: rounds before them.
        clock: runs a call and returns its seconds.

    Returns:
        The timings of all calls but those that ran out of the GPU's memory.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name in list(samples):
            try:
                seconds = clock(calls[name])
            except torch.cuda.OutOfMemoryError:
                del samples[name]
                torch.cuda.empty_cache()
                continue
            if turn >= warmup:
                samples[name].append(seconds)
    return {name: Timing(tuple(seconds)) for name, seconds in samples.items()}


def wall_clock(call: Call) -> float:
    """Seconds of a call on the CPU."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def processor_clock(call: Call) -> float:
    """Seconds that a call keeps this process's threads busy."""
    start = time.process_time()
    call()
    return time.process_time() - start


def cuda_clock(call: Call) -> float:
    """Seconds from a call's first to its last kernel, launches included, by CUDA events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def ratios(timings: Mapping[str, Timing], base: str) -> dict[str, float]:
    """How many times as fast as ``base`` each is, by medians."""
    return {name: timings[base].median / timing.median for name, timing in timings.items()}


def spread(timing: Timing, unit: float = 1e-3) -> str:
    """Median and quartiles for people, in milliseconds unless said."""
    shown: Sequence[float] = [seconds / unit for seconds in (timing.median, *timing.quartiles)]
    digits = 0 if shown[0] >= 100 else 1 if shown[0] >= 10 else 2
    mid, low, high = (f'{value:.{digits}f}' for value in shown)
    return f'{mid} ({low}–{high})'

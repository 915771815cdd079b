"""Count, then time interleaved, then measure peak memory.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import gc
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.benchmark import timer as wall_clock  # waits for the GPU

from .candidates import EVAL, TRAIN, Candidate
from .counts import count_macs, count_parameters, count_saved_bytes
from .timing import time_interleaved

FLOAT32, TF32, BF16 = PRECISIONS = ('float32', 'tf32', 'bf16')
WALL, PROCESSOR = 'wall', 'processor'
CLOCKS: dict[str, Callable[[], float]] = {WALL: wall_clock, PROCESSOR: time.process_time}
SGD = dict(lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4)
PEAK_CALLS = 2
STATUS = Path('/proc/self/status')


class Shape(NamedTuple):
    """The size of a batch: (N, M, T, V)."""

    clips: int
    persons: int
    frames: int
    joints: int

    def __str__(self) -> str:
        return str(tuple(self))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the networks run.

    Args:
        shape: (N, M, T, V).
        threads: of the CPU.
        repeats: timed rounds.
        warmup: rounds before them.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...
        precision: ``'float32'``, ``'tf32'`` (CUDA only), or ``'bf16'``, which is autocast.
        clock: ``'wall'``, or ``'processor'`` for the CPU seconds of the process, without waiting for a busy
            core; meaningful with one thread.
        compile: the mode of torch.compile for all candidates, None to leave it to each.

    Raises:
        ValueError: the precision is unknown or not available on the device, or the device is missing.
    """

    shape: Shape
    threads: int
    repeats: int = 7
    warmup: int = 2
    device: str = 'cpu'
    precision: str = FLOAT32
    clock: str = WALL
    compile: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f'unknown precision {self.precision!r}; known: {PRECISIONS}')
        if self.on_cuda and not torch.cuda.is_available():
            raise ValueError(f'device {self.device!r}: this PyTorch sees no CUDA device')
        if self.precision == TF32 and not self.on_cuda:
            raise ValueError(f'tf32 needs a CUDA device, not {self.device!r}')
        if self.clock not in CLOCKS or (self.clock == PROCESSOR and self.on_cuda):
            raise ValueError(
                f'no clock {self.clock!r} for {self.device!r}; known: {list(CLOCKS)}, the second for the CPU'
            )
        if min(self.shape) < 1 or self.repeats < 1 or self.warmup < 0 or self.threads < 1:
            raise ValueError(f'{self}: counts must be positive')

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return torch.device(self.device).type == 'cuda'

    def apply(self) -> None:
        """Apply the settings that PyTorch keeps for the whole process."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = self.precision == TF32
        torch.backends.cudnn.allow_tf32 = self.precision == TF32

    def autocast(self) -> torch.autocast:
        """The context in which the network runs in its precision."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == BF16)


@dataclass
class Costs:
    """The costs of a candidate.

    Args:
        name, network: of the candidate.
        macs: multiply-accumulates of inference per clip.
        parameters, saved_bytes: None for a form that does not train.
        seconds: every sample, by phase.
        peaks: peak bytes, by phase.
    """

    name: str
    network: str
    macs: float
    parameters: int | None = None
    saved_bytes: int | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


@dataclass
class Comparison:
    """Machine, settings, and the costs of every candidate; the others are compared with the first."""

    machine: dict[str, object]
    settings: Settings
    costs: list[Costs]


def compare(
    candidates: Sequence[Candidate],
    settings: Settings,
    *,
    peak: Callable[[Candidate, Settings], dict[str, int]] | None = None,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Count, then time interleaved, then measure the peak memory of each.

    Args:
        candidates: the networks.
        settings: how they run.
        peak: measures the peak memory, as :func:`peak_memory` does; None skips it.
        say: receives the lines that report progress.

    Raises:
        ValueError: two candidates have the same name, or one does not accept a batch of the shape.
    """
    names = [one.name for one in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f'a benchmark needs candidates of different names, not {names}')
    settings.apply()
    machine = describe_machine(settings)
    trials = {one.name: Trial(one, settings) for one in candidates}
    say(f'{settings.shape}: counting')
    costs = {one.name: _count(one, trials[one.name], settings) for one in candidates}
    rounds = (settings.repeats, settings.warmup, CLOCKS[settings.clock])
    for phase in (EVAL, TRAIN):
        say(f'{settings.shape}: timing {phase}, {settings.warmup} + {settings.repeats} rounds')
        calls = {name: trial.calls[phase] for name, trial in trials.items() if phase in trial.calls}
        for name, seconds in time_interleaved(calls, *rounds).items():
            costs[name].seconds[phase] = seconds
    if peak:
        del trials, calls  # their GPU memory is not part of the peaks
        for one in candidates:
            say(f'{settings.shape}: peak memory of {one.name}')
            costs[one.name].peaks = peak(one, settings)
    return Comparison(machine, settings, list(costs.values()))


class Trial:
    """A candidate ready to run: built, on its device, with a batch.

    Args:
        candidate: the network and its input.
        settings: how it runs.

    Attributes:
        calls: functions that run each phase of the candidate once.
    """

    def __init__(self, candidate: Candidate, settings: Settings) -> None:
        self.settings = settings
        self.network = candidate.make().to(settings.device)
        x = make_clips(settings.shape, candidate.channels, candidate.empty_persons)
        self.clips = x.to(settings.device)
        self.labels = torch.zeros(len(x), dtype=torch.long, device=settings.device)
        # Training comes second: it needs more memory, so that the peak of the first does not hide its own.
        calls: dict[str, Callable[[], object]] = {EVAL: self.infer, TRAIN: self.step}
        self.calls = {phase: call for phase, call in calls.items() if phase in candidate.phases}
        self._run: Callable = self.network
        self._mode = settings.compile or candidate.compile

    @cached_property
    def _optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), **SGD)

    def compile(self) -> None:
        """Use torch.compile from now on, if requested."""
        if self._mode:
            self._run = torch.compile(self.network, mode=self._mode)

    def infer(self) -> tuple[Tensor, ...]:
        """One forward pass in eval mode."""
        self.network.train(False)
        with torch.no_grad(), self.settings.autocast():
            return self._run(self.clips)

    def loss(self) -> Tensor:
        """The forward pass of a train step."""
        self.network.train(True)
        with self.settings.autocast():
            losses = [F.cross_entropy(logits, self.labels) for logits in self._run(self.clips)]
        return torch.stack(losses).sum()

    def step(self) -> None:
        """Forward, backward, SGD."""
        self._optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        self._optimizer.step()


def make_clips(shape: Shape, channels: int, empty_persons: float = 0.0) -> Tensor:
    """Random clips (N, M, T, V, C), in which the given share of persons, the last ones, is absent."""
    x = torch.randn(*shape, channels)
    order = torch.arange(shape.clips * shape.persons).view(shape.persons, -1).flip(0).T
    x[order < round(empty_persons * order.numel())] = 0
    return x


def _count(candidate: Candidate, trial: Trial, settings: Settings) -> Costs:
    """The counts, taken before torch.compile hides the operations."""
    try:
        trial.infer()  # a fused model caches the features of empty persons
    except Exception as error:
        raise ValueError(
            f'{candidate.name} does not accept clips of shape (N, M, T, V) = {settings.shape}: {error}'
        ) from error
    costs = Costs(candidate.name, candidate.network, count_macs(trial.infer) / settings.shape.clips)
    if TRAIN in candidate.phases:
        costs.parameters = count_parameters(trial.network)
        with suppress(torch.cuda.OutOfMemoryError):
            costs.saved_bytes = count_saved_bytes(trial.loss, trial.network)
    trial.compile()
    return costs


def peak_memory(candidate: Candidate, settings: Settings) -> dict[str, int]:
    """The peak memory of a network in bytes, including weights and batch, without libraries.

    On a GPU PyTorch's allocator counts them; on the CPU the system does, in a process that runs nothing else.

    Returns:
        The peak of each phase; a phase that ran out of memory is missing.
    """
    if settings.on_cuda:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(settings.device)
        return _peaks(candidate, settings)
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(_peaks, candidate, settings).result()
        except BrokenProcessPool:  # killed by the system for lack of memory
            return {}


def _peaks(candidate: Candidate, settings: Settings) -> dict[str, int]:
    settings.apply()
    before = 0 if settings.on_cuda else _resident('VmRSS')  # with all libraries loaded
    peaks: dict[str, int] = {}
    trial = Trial(candidate, settings)
    trial.compile()
    with suppress(torch.cuda.OutOfMemoryError):
        for phase, call in trial.calls.items():
            for _ in range(PEAK_CALLS):
                call()
            peak = (
                torch.cuda.max_memory_allocated(settings.device) if settings.on_cuda else _resident('VmHWM')
            )
            peaks[phase] = peak - before
    return peaks


def _resident(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most.

    On Linux the peak of getrusage is inherited from the parent process, so it is only the second choice.
    """
    if STATUS.exists():
        return 1024 * int(re.findall(rf'^{field}:\s*(\d+)', STATUS.read_text(), re.MULTILINE)[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak


def describe_machine(settings: Settings) -> dict[str, object]:
    """The machine, on which the times also depend."""
    machine: dict[str, object] = dict(
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, 'getloadavg') else None,
        python=platform.python_version(),
        torch=torch.__version__,
    )
    if settings.on_cuda:
        properties = torch.cuda.get_device_properties(settings.device)
        machine |= dict(gpu=properties.name, gpu_memory=properties.total_memory, cuda=torch.version.cuda)
    return machine


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    found = re.search(r'^model name\s*:\s*(.+)', info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()

"""Count and time networks side by side."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from .counts import count_macs, count_parameters, count_saved_bytes
from .lineup import EVAL, TRAIN, Contestant
from .memory import peak_memory
from .session import PROCESSOR, WALL, Session, Settings
from .timing import Timing, cuda_clock, processor_clock, take_turns, wall_clock

CLOCKS = {WALL: wall_clock, PROCESSOR: processor_clock}
PeakMemory = Callable[[Contestant, Settings], dict[str, int]]


@dataclass
class Row:
    """What was found out about a contestant.

    Args:
        name, network: of the contestant.
        macs: multiply-accumulates of inference, a clip.
        parameters, saved_bytes: of the train form; None for a form that does not train.
        timings: of the phases.
        peaks: bytes at most, of the phases.
    """

    name: str
    network: str
    macs: float
    parameters: int | None = None
    saved_bytes: int | None = None
    timings: dict[str, Timing] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """A benchmark: where, how, and a row a contestant, the first of which the others are compared with."""

    machine: dict[str, object]
    settings: Settings
    rows: list[Row]


def benchmark(
    contestants: Sequence[Contestant],
    settings: Settings,
    *,
    peak: PeakMemory | None = peak_memory,
    say: Callable[[str], None] = print,
) -> Result:
    """Count, then time in turns, then measure the peak memory of each.

    Args:
        contestants: the networks.
        settings: how they run.
        peak: measures the peak memory, None leaves it out.
        say: receives the lines that report progress.

    Raises:
        ValueError: two contestants have one name, or one does not take a batch of the shape.
    """
    names = [one.name for one in contestants]
    if not names or len(set(names)) < len(names):
        raise ValueError(f'a benchmark needs contestants of different names, not {names}')
    settings.apply()
    machine = describe_machine(settings)
    sessions = {one.name: Session(one, settings) for one in contestants}
    say(f'{settings.shape}: counting')
    rows = {one.name: _count(one, sessions[one.name], settings) for one in contestants}
    for phase in (EVAL, TRAIN):
        say(f'{settings.shape}: timing {phase}, {settings.warmup} + {settings.repeats} rounds')
        for name, timing in _time(sessions, phase, settings).items():
            rows[name].timings[phase] = timing
    sessions.clear()
    for one in contestants if peak else ():
        say(f'{settings.shape}: peak memory of {one.name}')
        rows[one.name].peaks = peak(one, settings)
    return Result(machine, settings, list(rows.values()))


def _count(contestant: Contestant, session: Session, settings: Settings) -> Row:
    """The counts, taken before torch.compile hides the operations."""
    try:
        session.infer()  # a fused form remembers what empty bodies give
    except Exception as error:
        raise ValueError(
            f'{contestant.name} does not take clips of shape (N, M, T, V) = {settings.shape}: {error}'
        ) from error
    row = Row(contestant.name, contestant.network, count_macs(session.infer) / settings.shape.clips)
    if TRAIN in contestant.phases:
        row.parameters = count_parameters(session.network)
        with suppress(torch.cuda.OutOfMemoryError):
            row.saved_bytes = count_saved_bytes(session.loss, session.network)
    if settings.compile:
        session.compile(settings.compile)
    return row


def _time(sessions: Mapping[str, Session], phase: str, settings: Settings) -> dict[str, Timing]:
    """The sessions that have the phase, in turns."""
    calls = {name: partial(one.call, phase) for name, one in sessions.items() if phase in one.phases}
    clock = cuda_clock if settings.on_cuda else CLOCKS[settings.clock]
    return take_turns(calls, repeats=settings.repeats, warmup=settings.warmup, clock=clock)


def describe_machine(settings: Settings) -> dict[str, object]:
    """Whatever else the times depend on."""
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
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()

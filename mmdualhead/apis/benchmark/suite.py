"""All that is to be known of a card, in one run: is it right there, and how fast is which form.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from mmdualhead.models.ops import standard_operations

from .candidates import EVAL, TRAIN, Candidate
from .measure import BF16, FLOAT32, TF32, Comparison, Settings, Shape, allocated_peak, compare, make_clips
from .report import to_dict

PAPER_SHAPES = (Shape(64, 2, 300, 25), Shape(64, 2, 100, 25))
PAPER_CLIPS, PAPER_EPOCHS = 40_091, 80
TOLERANCES = {'float64': 1e-9, FLOAT32: 1e-3, TF32: 3e-2}
"""Of logits and gradients, relative to the largest value, against float64 on the CPU, which the tests hold to
the authors' numbers. Single precision alone moves gradients by 1e-3; TF32 keeps 10 of its 23 bits."""
RATE_SIZE = 8192


class StandardOperations(nn.Module):
    """A network by PyTorch's own operations: the other formulation of the windowed products."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        with standard_operations():
            return self.network(x)


def run_suite(
    candidates: Sequence[Candidate],
    settings: Settings,
    shapes: Sequence[Shape] = PAPER_SHAPES,
    *,
    seconds: float = 570,
    say: Callable[[str], None] = print,
) -> Iterator[dict[str, Any]]:
    """Check answers and gradients, then time every form of the networks in turns, at every precision.

    Args:
        candidates: the networks; the first one is checked and varied, the others stand beside it.
        settings: how they run; shape and precision are set here.
        shapes: the batches.
        seconds: what has not begun by then is left out, and named. The most important comes first.
        say: receives the lines that report progress.

    Yields:
        The report so far, as JSON takes it, after each part: ``errors`` of the first network and whether all
        are in ``tolerances``, ``parts`` as :func:`~mmdualhead.apis.benchmark.to_dict` gives them with what
        follows from them (``ratios``), and ``left_out``.

    Raises:
        ValueError: two candidates have one name, or one does not take a batch of the shape.
    """
    start = time.monotonic()
    own = [one for one in candidates if one.network == candidates[0].network]
    formulations = list(_formulations(own[0]))
    errors = {one.name: _errors(one, settings) for one in formulations}
    right = all(error <= TOLERANCES[kind] for found in errors.values() for kind, error in found.items())
    report: dict[str, Any] = dict(
        errors=errors, tolerances=TOLERANCES, right=right, seconds=0.0, parts=[], left_out=[]
    )
    yield report

    variants = formulations[1:]
    compiled = [replace(own[0], form=name, compile=mode) for name, mode in _compilers(settings)]
    plan = [
        (shape, precision, [*candidates, *variants])
        for precision in _precisions(settings)
        for shape in shapes
    ]
    plan += [(shapes[-1], precision, [own[0], *compiled]) for precision in _precisions(settings) if compiled]
    peak = allocated_peak if settings.on_cuda else None
    for shape, precision, entered in plan:
        if time.monotonic() - start > seconds:
            report['left_out'].append(f'{shape}, {precision}: {", ".join(one.name for one in entered)}')
            continue
        say(f'{precision}')
        part = compare(entered, replace(settings, shape=shape, precision=precision), peak=peak, say=say)
        report['parts'].append(to_dict(part) | dict(ratios=_ratios(part)))
        report['seconds'] = time.monotonic() - start
        yield report
    yield report


def _formulations(plain: Candidate) -> Iterator[Candidate]:
    """The network with kernels of its own, by standard operations, and with weights in channels_last."""
    yield plain
    yield replace(plain, form='standard operations', make=partial(_standard, plain.make))
    yield replace(plain, form='channels_last', make=partial(_channels_last, plain.make))


def _standard(make: Callable[[], nn.Module]) -> nn.Module:
    return StandardOperations(make())


def _channels_last(make: Callable[[], nn.Module]) -> nn.Module:
    return make().to(memory_format=torch.channels_last)


def _compilers(settings: Settings) -> list[tuple[str, str]]:
    return [('compiled', 'default'), ('CUDA graphs', 'reduce-overhead')] if settings.on_cuda else []


def _precisions(settings: Settings) -> tuple[str, ...]:
    return (TF32, BF16, FLOAT32) if settings.on_cuda else (FLOAT32, BF16)


def _errors(candidate: Candidate, settings: Settings) -> dict[str, float]:
    """The largest deviation from float64 on the CPU, by precision, relative to the largest value."""
    torch.manual_seed(0)
    network = candidate.make().double()
    x = make_clips(Shape(4, *settings.shape[1:]), candidate.channels, 0.25).double()
    kinds = {'float64': torch.double} | {
        precision: torch.float for precision in _precisions(settings) if precision in TOLERANCES
    }
    expected = _answers(copy.deepcopy(network), x)  # a train pass moves running statistics
    errors = {}
    for kind, dtype in kinds.items():
        replace(settings, precision=TF32 if kind == TF32 else FLOAT32).apply()
        placed = copy.deepcopy(network).to(settings.device, dtype)
        found = _answers(placed, x.to(settings.device, dtype))
        errors[kind] = max(
            ((one - other).abs().max() / other.abs().max()).item()
            for one, other in zip(found, expected, strict=True)
        )
    return errors


def _answers(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits in eval and in train mode, and all gradients, each in one tensor on the CPU."""
    with torch.no_grad():
        evaluated = torch.cat(network.eval()(x), 1)
    network = network.train()
    trained = torch.cat(network(x), 1)
    grads = torch.autograd.grad(trained.sin().sum(), [p for p in network.parameters() if p.requires_grad])
    flat = torch.cat([grad.flatten() for grad in grads])
    evaluated, trained, flat = (found.detach().double().cpu() for found in (evaluated, trained, flat))
    return evaluated, trained, flat


def _ratios(part: Comparison) -> dict[str, Any]:
    """What follows from the samples: shares of the device's matrix rate, hours of the paper's training."""
    clips, base = part.settings.shape.clips, part.costs[0]
    rate = _matrix_rate(part.settings)
    shares = {
        one.name: {
            phase: passes * one.macs * clips / median(one.seconds[phase]) / rate
            for phase, passes in ((EVAL, 1), (TRAIN, 3))
            if one.seconds.get(phase)
        }
        for one in part.costs
    }
    found: dict[str, Any] = dict(matrix_macs_per_second=rate, share_of_matrix_rate=shares)
    if base.seconds.get(TRAIN):
        steps = PAPER_EPOCHS * PAPER_CLIPS / clips
        found['hours_of_the_papers_training'] = steps * median(base.seconds[TRAIN]) / 3600
    return found


def _matrix_rate(settings: Settings) -> float:
    """Multiply-accumulates per second of one large product in this precision."""
    size = RATE_SIZE if settings.on_cuda else RATE_SIZE // 16
    a = torch.randn(size, size, device=settings.device)
    with settings.autocast():
        a = a.to(torch.bfloat16) if settings.precision == BF16 else a
        timer = Timer('a @ a', globals=dict(a=a), num_threads=settings.threads)
        return size**3 / timer.blocked_autorange(min_run_time=0.2).median

"""The full check of a GPU in one run: correctness, and the speed of each form.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from mmdualhead.models.ops import standard_operations

from .candidates import EVAL, TRAIN, Candidate
from .measure import BF16, FLOAT32, TF32, Comparison, Settings, Shape, compare, make_clips, peak_memory
from .report import to_dict

PAPER_SHAPES = (Shape(64, 2, 300, 25), Shape(64, 2, 100, 25))
PAPER_CLIPS, PAPER_EPOCHS = 40_091, 80
TOLERANCES = {'float64': 1e-9, FLOAT32: 1e-3, TF32: 3e-2}
"""Of logits and gradients, relative to the largest value, against float64 on the CPU, which the tests compare
with the authors' numbers. Single precision alone moves gradients by 1e-3; TF32 keeps 10 of its 23 bits.
"""
RATE_SIZE = 8192


class StandardOperations(nn.Module):
    """A network with PyTorch's standard operations: the other formulation of the windowed products."""

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
    parity: Callable[[str], dict[str, float]],
    seconds: float = 570,
    say: Callable[[str], None] = print,
) -> Iterator[dict[str, Any]]:
    """Check outputs and gradients, then time every form of the networks, interleaved, at every precision.

    Args:
        candidates: the networks; the first one is checked and varied, the others are for comparison.
        settings: how they run; shape and precision are set here.
        shapes: the batches.
        parity: the deviations from the authors' numbers in float64 on a device.
        seconds: parts that have not begun by then are skipped and named. The most important ones come first.
        say: receives the lines that report progress.

    Yields:
        The report so far, ready for JSON, after each part: the result of :func:`check_answers`, ``parts`` as
        from :func:`~benchmarking.report.to_dict` with ``ratios`` derived from them, and ``left_out``.

    Raises:
        ValueError: two candidates have the same name, or one does not accept a batch of the shape.
    """
    start = time.monotonic()
    plain = candidates[0]
    formulations = [
        plain,
        replace(plain, form='standard operations', make=lambda: StandardOperations(plain.make())),
        replace(plain, form='channels_last', make=lambda: plain.make().to(memory_format=torch.channels_last)),
    ]
    report = check_answers(formulations, settings, parity, say) | dict(seconds=0.0, parts=[], left_out=[])
    yield report
    for shape, precision, entered in plan_parts([*candidates, *formulations[1:]], settings, shapes):
        if time.monotonic() - start > seconds:
            report['left_out'].append(f'{shape}, {precision}: {", ".join(one.name for one in entered)}')
            continue
        say(precision)
        settings = replace(settings, shape=shape, precision=precision)
        part = compare(entered, settings, peak=peak_memory if settings.on_cuda else None, say=say)
        report['parts'].append(to_dict(part) | dict(ratios=_ratios(part)))
        report['seconds'] = time.monotonic() - start
        yield report
    yield report


def check_answers(
    formulations: Sequence[Candidate],
    settings: Settings,
    parity: Callable[[str], dict[str, float]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Deviations from the authors' numbers (``parity``) and from float64 on the CPU (``errors``).

    Returns:
        Also the ``tolerances``, and whether all deviations are within them (``right``).
    """
    say("the authors' numbers")
    deviations = parity(settings.device)
    say('outputs and gradients')
    errors = {one.name: _errors(one, settings) for one in formulations}
    compared = [('float64', deviation) for deviation in deviations.values()]
    compared += [pair for found in errors.values() for pair in found.items()]
    right = all(error <= TOLERANCES[kind] for kind, error in compared)  # NaN is not
    return dict(parity=deviations, errors=errors, tolerances=TOLERANCES, right=right)


def plan_parts(
    candidates: Sequence[Candidate], settings: Settings, shapes: Sequence[Shape]
) -> list[tuple[Shape, str, Sequence[Candidate]]]:
    """Shape, precision and networks of each part, the most important first; compiled forms on a GPU."""
    precisions = (TF32, BF16, FLOAT32) if settings.on_cuda else (FLOAT32, BF16)
    plan = [(shape, precision, candidates) for precision in precisions for shape in shapes]
    if settings.on_cuda:
        plain, modes = candidates[0], {'compiled': 'default', 'CUDA graphs': 'reduce-overhead'}
        compiled = [plain, *(replace(plain, form=form, compile=mode) for form, mode in modes.items())]
        plan += [(shapes[-1], precision, compiled) for precision in precisions]
    return plan


def _errors(candidate: Candidate, settings: Settings) -> dict[str, float]:
    """The largest deviation from float64 on the CPU, by precision, relative to the largest value."""
    torch.manual_seed(0)
    network = candidate.make().double()
    x = make_clips(Shape(4, *settings.shape[1:]), candidate.channels, 0.25).double()
    kinds = {'float64': torch.double, FLOAT32: torch.float} | (
        {TF32: torch.float} if settings.on_cuda else {}
    )
    expected = _answers(copy.deepcopy(network), x)  # a train pass moves running statistics
    errors = {}
    for kind, dtype in kinds.items():
        replace(settings, precision=TF32 if kind == TF32 else FLOAT32).apply()
        placed = copy.deepcopy(network).to(settings.device, dtype)
        found = _answers(placed, x.to(settings.device, dtype))
        deviations = [
            (one - other).abs().max() / other.abs().max() for one, other in zip(found, expected, strict=True)
        ]
        errors[kind] = torch.stack(deviations).max().item()  # NaN if one of them is
    return errors


def _answers(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Logits in eval and in train mode, and all gradients, each in one tensor on the CPU."""
    with torch.no_grad():
        evaluated = torch.cat(network.eval()(x), 1)
    trained = torch.cat(network.train()(x), 1)
    grads = torch.autograd.grad(trained.sin().sum(), [p for p in network.parameters() if p.requires_grad])
    flat = torch.cat([grad.flatten() for grad in grads])
    return [found.detach().double().cpu() for found in (evaluated, trained, flat)]


def _ratios(part: Comparison) -> dict[str, Any]:
    """Numbers derived from the samples: shares of the device's matrix rate, hours of the paper's training."""
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

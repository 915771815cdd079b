"""A benchmark as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.utils.tables import markdown_table

from .candidates import EVAL, TRAIN
from .measure import WALL, Comparison, Costs

GIGA, MEGA = 1e9, 1e6
ABSENT = '–'
HEADER = (
    *('network', 'parameters M', 'GMACs per clip'),
    *('eval ms', 'clips/s', 'speed', 'train step ms', 'clips/s', 'speed'),
    *('saved GB', 'peak GB eval', 'peak GB train'),
)

LEGEND = (
    'Times: median (quartiles) of {} rounds, interleaved, after {} warm-up rounds. Speed: how many times as '
    'fast as {}. MACs: multiply-accumulates of convolutions and matrix products in inference, 10^9 of them. '
    'Saved: what autograd keeps for the backward pass, without parameters. Peak: of the network alone, '
    'without libraries.'
)


def to_markdown(comparison: Comparison) -> str:
    """Machine, settings, the table, and what its columns mean."""
    settings, base = comparison.settings, comparison.costs[0]
    return '\n\n'.join(
        [
            f'**(N, M, T, V) = {settings.shape}**, {_conditions(comparison)}.',
            markdown_table(HEADER, [_cells(one, base, settings.shape.clips) for one in comparison.costs]),
            LEGEND.format(settings.repeats, settings.warmup, base.name),
        ]
    )


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """All numbers, including each sample: seconds, bytes, MACs per clip."""
    settings = {**asdict(comparison.settings), 'shape': comparison.settings.shape._asdict()}
    costs = [asdict(one) for one in comparison.costs]
    return dict(machine=comparison.machine, settings=settings, costs=costs)


def read_accuracies(path: str | Path, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Accuracies by network from a JSON file, ``{"DualHead-Net": 90.3, ...}``.

    Raises:
        ValueError: the file is not of this form, or names no network of the comparisons.
    """
    try:
        found = json.loads(Path(path).read_text(encoding='utf-8'))
        accuracies = {str(name): float(value) for name, value in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{path}: expected a JSON object from network to accuracy ({error})') from error
    known = {name for one in comparisons for costs in one.costs for name in (costs.network, costs.name)}
    unknown = sorted(set(accuracies) - known)
    if unknown or not accuracies:
        raise ValueError(f'{path}: {unknown or "nothing"} named, but the benchmark has {sorted(known)}')
    return accuracies


def _conditions(comparison: Comparison) -> str:
    """Machine and settings in one line."""
    machine, settings = comparison.machine, comparison.settings
    facts = [
        machine.get('gpu'),
        f'{machine["cpu"]} ({machine["cores"]} cores, {settings.threads} threads, load {machine["load"]})',
        f'torch {machine["torch"]}',
        f'Python {machine["python"]}',
        settings.precision,
        f'{settings.clock} clock' if settings.clock != WALL else None,
        f'torch.compile {settings.compile}' if settings.compile else None,
    ]
    return ', '.join(str(fact) for fact in facts if fact)


def _cells(costs: Costs, base: Costs, clips: int) -> list[str]:
    return [
        costs.name,
        _number(costs.parameters, MEGA, 2),
        _number(costs.macs, GIGA, 2),
        *(cell for phase in (EVAL, TRAIN) for cell in _time_cells(costs, base, phase, clips)),
        _number(costs.saved_bytes, GIGA, 3),
        *(_number(costs.peaks.get(phase), GIGA, 2) for phase in (EVAL, TRAIN)),
    ]


def _time_cells(costs: Costs, base: Costs, phase: str, clips: int) -> tuple[str, str, str]:
    """Median and quartiles in milliseconds, clips per second, how many times as fast as the base."""
    if phase not in costs.seconds:
        return (ABSENT,) * 3
    low, median, high = np.percentile(costs.seconds[phase], (25, 50, 75))
    digits = max(0, 2 - int(np.log10(max(1, 1e3 * median))))
    spread = f'{1e3 * median:.{digits}f} ({1e3 * low:.{digits}f}–{1e3 * high:.{digits}f})'
    speed = np.median(base.seconds[phase]) / median if phase in base.seconds else None
    return spread, f'{clips / median:.1f}', _number(speed, 1, 2)


def _number(value: float | None, unit: float, digits: int) -> str:
    return ABSENT if value is None else f'{value / unit:.{digits}f}'

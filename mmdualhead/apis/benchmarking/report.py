"""A benchmark for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmdualhead.utils.tables import markdown_table

from .lineup import EVAL, TRAIN
from .run import Result, Row
from .session import WALL
from .timing import Timing, ratios, spread

GIGA, MEGA = 1e9, 1e6
ABSENT = '–'
HEADER = (
    *('network', 'parameters M', 'GMACs a clip'),
    *('eval ms', 'clips/s', 'speed', 'train step ms', 'clips/s', 'speed'),
    *('saved GB', 'peak GB eval', 'peak GB train'),
)

LEGEND = (
    'Times: median (quartiles) of {} rounds, taken in turns, after {} to warm up. Speed: how many times as '
    'fast as {}. MACs: multiply-accumulates of convolutions and matrix products in inference, 10^9 of them. '
    'Saved: what autograd keeps for the backward pass, parameters left out. Peak: in a process of its own, '
    'libraries left out.'
)


def to_markdown(result: Result) -> str:
    """Where, how, the table, and what its columns mean."""
    settings = result.settings
    return '\n\n'.join(
        [
            f'**(N, M, T, V) = {settings.shape}**, {_conditions(result)}.',
            markdown_table(HEADER, _rows(result)),
            LEGEND.format(settings.repeats, settings.warmup, result.rows[0].name),
        ]
    )


def to_dict(result: Result) -> dict[str, Any]:
    """All numbers, each sample too; seconds, bytes, MACs a clip."""
    rows = []
    for row in result.rows:
        times = {
            phase: dict(
                samples=timing.samples,
                median=timing.median,
                quartiles=timing.quartiles,
                clips_per_second=result.settings.shape.clips / timing.median,
            )
            for phase, timing in row.timings.items()
        }
        rows.append({**asdict(row), 'timings': times})
    settings = {**asdict(result.settings), 'shape': result.settings.shape._asdict()}
    return dict(machine=result.machine, settings=settings, rows=rows)


def write_json(results: Sequence[Result], path: str | Path) -> None:
    """A list of what :func:`to_dict` gives."""
    Path(path).write_text(json.dumps([to_dict(one) for one in results], indent=1) + '\n', encoding='utf-8')


def read_accuracies(path: str | Path, results: Sequence[Result]) -> dict[str, float]:
    """Accuracies by network from a JSON file, ``{"DualHead-Net": 90.3, ...}``.

    Raises:
        ValueError: the file is no such thing, or names no network of the results.
    """
    try:
        found = json.loads(Path(path).read_text(encoding='utf-8'))
        accuracies = {str(name): float(value) for name, value in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{path}: expected a JSON object from network to accuracy ({error})') from error
    known = {name for one in results for row in one.rows for name in (row.network, row.name)}
    unknown = sorted(set(accuracies) - known)
    if unknown or not accuracies:
        raise ValueError(f'{path}: {unknown or "nothing"} named, but the benchmark has {sorted(known)}')
    return accuracies


def _conditions(result: Result) -> str:
    """Machine and settings in a line."""
    machine, settings = result.machine, result.settings
    parts = [
        machine.get('gpu'),
        f'{machine["cpu"]} ({machine["cores"]} cores, {settings.threads} threads, load {machine["load"]})',
        f'torch {machine["torch"]}',
        f'Python {machine["python"]}',
        settings.precision,
        f'{settings.clock} clock' if settings.clock != WALL else None,
        f'torch.compile {settings.compile}' if settings.compile else None,
    ]
    return ', '.join(filter(None, parts))


def _rows(result: Result) -> list[list[str]]:
    base = result.rows[0].name
    speeds = {}
    for phase in (EVAL, TRAIN):
        timings = {row.name: row.timings[phase] for row in result.rows if phase in row.timings}
        speeds[phase] = ratios(timings, base) if base in timings else {}
    return [_cells(row, speeds, result.settings.shape.clips) for row in result.rows]


def _cells(row: Row, speeds: dict[str, dict[str, float]], clips: int) -> list[str]:
    timed = [
        cell
        for phase in (EVAL, TRAIN)
        for cell in _time_cells(row.timings.get(phase), speeds[phase].get(row.name), clips)
    ]
    return [
        row.name,
        _number(row.parameters, MEGA, 2),
        _number(row.macs, GIGA, 2),
        *timed,
        _number(row.saved_bytes, GIGA, 3),
        *(_number(row.peaks.get(phase), GIGA, 2) for phase in (EVAL, TRAIN)),
    ]


def _time_cells(timing: Timing | None, speed: float | None, clips: int) -> tuple[str, str, str]:
    if timing is None:
        return (ABSENT,) * 3
    return spread(timing), f'{clips / timing.median:.1f}', _number(speed, 1, 2)


def _number(value: float | None, unit: float, digits: int) -> str:
    return ABSENT if value is None else f'{value / unit:.{digits}f}'

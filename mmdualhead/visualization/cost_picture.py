"""Accuracy against cost. Needs matplotlib, which is not installed with mmdualhead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from mmdualhead.apis.benchmarking import Result, Row
from mmdualhead.apis.benchmarking.lineup import EVAL, TRAIN

from .figures import BLUE, GREY, new_figure

OURS = ('DualHead-Net',)
TOUCHING = 0.04
"""Share of the largest cost, within which points of one accuracy count as one."""


def draw_costs(result: Result, accuracies: Mapping[str, float], path: str | Path) -> None:
    """Three panels: accuracy against MACs, inference time and training time, each a clip.

    Args:
        result: of a benchmark.
        accuracies: per cent, by the name of a network, which holds for all of its forms, or of one form.
        path: the PNG.

    Raises:
        ImportError: matplotlib is missing.
    """
    clips = result.settings.shape.clips
    panels: dict[str, Callable[[Row], float | None]] = {
        'GMACs a clip': lambda row: row.macs / 1e9,
        'inference, ms a clip': lambda row: _milliseconds(row, EVAL, clips),
        'training, ms a clip': lambda row: _milliseconds(row, TRAIN, clips),
    }
    figure = new_figure(13, 4.6)
    for axes, (label, cost) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.margins(0.3, 0.25)
        points = [(row, cost(row), _accuracy(row, accuracies)) for row in result.rows]
        beside: Counter[float] = Counter()
        for rows, x, y in sorted(_together([p for p in points if None not in p]), key=lambda group: group[1]):
            axes.scatter(x, y, color=BLUE if rows[0].network in OURS else GREY)
            text = '\n'.join(row.name.replace(', ', ',\n', 1) for row in rows)
            # Neighbours of one accuracy are labeled above and below in turns; no label covers another.
            offset, anchor = ((0, -6), 'top') if beside[y] % 2 else ((0, 6), 'bottom')
            beside[y] += 1
            style = dict(textcoords='offset points', fontsize=7, ha='center', va=anchor)
            axes.annotate(text, (x, y), xytext=offset, **style)
        axes.set_xlim(left=0)
    figure.axes[0].set_ylabel('accuracy, %')
    figure.savefig(path)


def _together(points: list[tuple[Row, float, float]]) -> list[tuple[list[Row], float, float]]:
    """Points that lie upon each other share a label."""
    near = TOUCHING * max((x for _, x, _ in points), default=0)
    groups: list[tuple[list[Row], float, float]] = []
    for row, x, y in points:
        group = next((g for g in groups if abs(g[1] - x) < near and g[2] == y), None)
        if group:
            group[0].append(row)
        else:
            groups.append(([row], x, y))
    return groups


def _accuracy(row: Row, accuracies: Mapping[str, float]) -> float | None:
    return accuracies.get(row.name, accuracies.get(row.network))


def _milliseconds(row: Row, phase: str, clips: int) -> float | None:
    return 1000 * row.timings[phase].median / clips if phase in row.timings else None

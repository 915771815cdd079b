"""Accuracy against cost. Needs matplotlib, which is not installed with mmdualhead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mmdualhead.visualization.figures import BLUE, GREY, new_figure, save_figure

from .candidates import EVAL, TRAIN
from .measure import Comparison, Costs

OURS = ('DualHead-Net',)
TOUCHING = 0.04
"""Share of the largest cost, within which points of one accuracy count as one."""

NEIGHBORS = 0.4
"""The same, within which their labels would cover each other."""


def draw_costs(comparison: Comparison, accuracies: Mapping[str, float], path: str | Path) -> None:
    """Three panels: accuracy against MACs, inference time and training time, each per clip.

    Args:
        comparison: of a benchmark.
        accuracies: in percent, by the name of a network, which applies to all of its forms, or of one form.
        path: the PNG.

    Raises:
        ImportError: matplotlib is missing.
    """
    clips = comparison.settings.shape.clips
    panels: dict[str, Callable[[Costs], float | None]] = {
        'GMACs per clip': lambda one: one.macs / 1e9,
        'inference, ms per clip': lambda one: _milliseconds(one, EVAL, clips),
        'training, ms per clip': lambda one: _milliseconds(one, TRAIN, clips),
    }
    figure = new_figure(13, 4.6)
    for axes, (label, cost) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.margins(0.3, 0.25)
        points = [
            (one, x, y)
            for one in comparison.costs
            if (x := cost(one)) is not None
            and (y := accuracies.get(one.name, accuracies.get(one.network))) is not None
        ]
        near = NEIGHBORS * max((x for _, x, _ in points), default=0)
        labeled: dict[float, tuple[float, bool]] = {}
        for group, x, y in sorted(_together(points), key=lambda point: point[1]):
            axes.scatter(x, y, color=BLUE if group[0].network in OURS else GREY)
            text = '\n'.join(one.name.replace(', ', ',\n', 1) for one in group)
            # Neighbors of one accuracy are labeled alternately above and below, so that no label covers
            # another.
            before, was_above = labeled.get(y, (-near, False))
            is_above = not was_above or x - before > near
            labeled[y] = (x, is_above)
            offset, anchor = ((0, 6), 'bottom') if is_above else ((0, -6), 'top')
            style = dict(textcoords='offset points', fontsize=7, ha='center', va=anchor, parse_math=False)
            axes.annotate(text, (x, y), xytext=offset, **style)
        axes.set_xlim(left=0)
    figure.axes[0].set_ylabel('accuracy, %')
    save_figure(figure, path)


def _together(points: list[tuple[Costs, float, float]]) -> list[tuple[list[Costs], float, float]]:
    """Overlapping points share a label."""
    near = TOUCHING * max((x for _, x, _ in points), default=0)
    groups: list[tuple[list[Costs], float, float]] = []
    for one, x, y in points:
        group = next((g for g in groups if abs(g[1] - x) < near and g[2] == y), None)
        if group:
            group[0].append(one)
        else:
            groups.append(([one], x, y))
    return groups


def _milliseconds(costs: Costs, phase: str, clips: int) -> float | None:
    return 1000 * float(np.median(costs.seconds[phase])) / clips if phase in costs.seconds else None

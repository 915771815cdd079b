"""Accuracy against cost. Needs matplotlib, which is not installed with mmdualhead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mmdualhead.apis.benchmarking import Result, Row
from mmdualhead.apis.benchmarking.lineup import EVAL, TRAIN

from .figures import BLUE, GREY, new_figure

OURS = ('DualHead-Net',)


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
    figure = new_figure(13, 4.2)
    for axes, (label, cost) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.margins(0.22, 0.15)
        points = [(row, cost(row), _accuracy(row, accuracies)) for row in result.rows]
        for row, x, y in points:
            if x is None or y is None:
                continue
            axes.scatter(x, y, color=BLUE if row.network in OURS else GREY)
            axes.annotate(
                row.name, (x, y), xytext=(0, 6), textcoords='offset points', fontsize=8, ha='center'
            )
        axes.set_xlim(left=0)
        if label.startswith('GMACs'):
            axes.set_ylabel('accuracy, %')
    figure.savefig(path)


def _accuracy(row: Row, accuracies: Mapping[str, float]) -> float | None:
    return accuracies.get(row.name, accuracies.get(row.network))


def _milliseconds(row: Row, phase: str, clips: int) -> float | None:
    return 1000 * row.timings[phase].median / clips if phase in row.timings else None

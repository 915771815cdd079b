"""Figures of a model's errors. They need matplotlib, which is not installed with mmdualhead.

Shapes: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.evaluation.errors import Calibration, ErrorReport
from mmdualhead.utils.files import atomic_write

DPI = 110
NAMED_UP_TO = 40
BARS = 40
GREEN, RED, BLUE, GREY = '#2a7f3f', '#b3332e', '#2b5c8a', '#8a8a8a'


def new_figure(width: float, height: float) -> Any:
    """An empty figure, independent of any display.

    Args:
        width: inches.
        height: inches.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'figures need matplotlib: pip install "mmdualhead[plot]" (or matplotlib)'
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, layout='constrained')


def check_png(path: str | Path) -> None:
    """Refuse a file name with the suffix of another format.

    Raises:
        ValueError: its name does not end in ``.png``.
    """
    if Path(path).suffix.lower() != '.png':
        raise ValueError(f'{path}: figures are written as .png')


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a PNG atomically.

    Raises:
        ValueError: the file's name does not end in ``.png``.
    """
    check_png(path)
    with atomic_write(path) as file:
        figure.savefig(file, format='png')


def draw_errors(report: ErrorReport, out_dir: str | Path) -> list[Path]:
    """Draw the confusion matrix, the gains over each head and the other model, and the reliability diagram.

    Args:
        report: the errors to draw.
        out_dir: the folder; it is created.

    Returns:
        The files: ``confusion.png``, ``gain_over_{HEAD,other}.png``, ``reliability.png``.

    Raises:
        ImportError: matplotlib is missing.
    """
    out_dir = Path(out_dir)
    confusion, reliability = out_dir / 'confusion.png', out_dir / 'reliability.png'
    numbered = [name if name == str(i) else f'{name}  {i}' for i, name in enumerate(report.classes)]
    draw_confusion(report.matrix, numbered, confusion)
    draw_reliability(report.calibrations, reliability)
    files = [confusion, reliability]
    for rival, gain in report.gains.items():
        name = report.other.source if report.other and rival == 'other' else f'the {rival} head'
        files.append(out_dir / f'gain_over_{rival}.png')
        draw_gains(gain, report.classes, f'Fused score of {report.scores.source}\nagainst {name}', files[-1])
    return files


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], path: str | Path) -> None:
    """The confusion matrix in percent of each true class.

    Correct predictions are green, errors red, and shares of 1% and more are written into their cell, so that
    single cells can be found among 120 x 120.

    Args:
        matrix: (K, K) counts, row: true class.
        classes: K names.
        path: the PNG.
    """
    count = len(classes)
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.21 * count + 3, 7, 30))
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    right = np.eye(count, dtype=bool)
    for cells, colors in ((right, 'Greens'), (~right, 'Reds')):
        shown = np.ma.masked_where(~cells | (share == 0), share)
        axes.imshow(shown, cmap=colors, vmin=-5, vmax=100 if colors == 'Greens' else 40)
    _write_cells(axes, share, size=9 if count <= NAMED_UP_TO else 7)
    _name_axes(axes, classes)
    title = f'Clips of each true class by predicted class, in %; {int(matrix.sum())} clips'
    axes.set_title(title, fontsize=11 + side / 4)
    axes.set_xlabel('predicted class', fontsize=9 + side / 5)
    axes.set_ylabel('true class', fontsize=9 + side / 5)
    save_figure(figure, path)


def _write_cells(axes: Any, share: np.ndarray, size: float) -> None:
    for i, j in np.argwhere(np.round(share) >= 1):
        dark = share[i, j] > (55 if i == j else 22)
        color = 'white' if dark else 'black'
        axes.text(j, i, f'{share[i, j]:.0f}', ha='center', va='center', fontsize=size, color=color)


def _name_axes(axes: Any, classes: Sequence[str]) -> None:
    """Names on the left, numbers above and below, and a grid line after every fifth class."""
    count = len(classes)
    size = 9 if count <= NAMED_UP_TO else 9.5
    axes.set_yticks(range(count), classes, fontsize=size, parse_math=False)
    axes.set_xticks(range(count), range(count), fontsize=size, rotation=0 if count <= NAMED_UP_TO else 90)
    axes.tick_params(top=True, labeltop=True)
    for line in np.arange(4.5, count - 1, 5):
        axes.axhline(line, color=GREY, linewidth=0.3)
        axes.axvline(line, color=GREY, linewidth=0.3)


def draw_gains(gain: np.ndarray, classes: Sequence[str], title: str, path: str | Path) -> None:
    """The classes with the largest gains and losses of accuracy, best on top.

    Args:
        gain: (K,) differences of accuracy as fractions, NaN for classes without clips.
        classes: K names.
        title: names the two scores that are compared.
        path: the PNG.
    """
    changed = np.flatnonzero(np.nan_to_num(gain))
    largest = changed[np.argsort(-np.abs(gain[changed]), kind='stable')][:BARS]
    order = largest[np.argsort(gain[largest], kind='stable')]
    figure = new_figure(9, 1.6 + 0.24 * max(len(order), 4))
    axes = figure.add_subplot()
    points = 100 * gain[order]
    bars = axes.barh(range(len(order)), points, color=[GREEN if point > 0 else RED for point in points])
    axes.bar_label(bars, [f'{point:+.1f}' for point in points], padding=2, fontsize=8)
    axes.set_yticks(range(len(order)), [classes[i] for i in order], fontsize=9, parse_math=False)
    axes.axvline(0, color='black', linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlabel('difference of top-1 accuracy, percentage points')
    same = int(np.isfinite(gain).sum()) - len(changed)
    shown = (
        f'{len(order)} largest of {len(changed)} changes'
        if len(order) < len(changed)
        else f'{len(order)} changed'
    )
    axes.set_title(f'{title}\nclasses: {shown}, {same} unchanged', fontsize=11, parse_math=False)
    save_figure(figure, path)


def draw_reliability(heads: dict[str, Calibration], path: str | Path) -> None:
    """A reliability diagram per head: accuracy against confidence, over a histogram of confidence.

    Args:
        heads: calibrations by the name of the head.
        path: the PNG.
    """
    figure = new_figure(4.4 * len(heads), 5.6)
    rows = figure.subplots(2, len(heads), height_ratios=(3, 1), sharex=True, squeeze=False)
    for (upper, lower), (head, bins) in zip(rows.T, heads.items(), strict=True):
        width = np.diff(bins.edges)
        upper.bar(
            bins.edges[:-1], np.nan_to_num(bins.accuracy), width, align='edge', color=BLUE, edgecolor='white'
        )
        upper.plot([0, 1], [0, 1], color=GREY, linestyle='--', label='perfectly calibrated')
        upper.plot(
            bins.confidence, bins.accuracy, 'o', color=RED, markersize=4, label='mean confidence of the bin'
        )
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel='accuracy', title=f'{head}: ECE {100 * bins.ece:.2f} %')
        lower.bar(bins.edges[:-1], bins.clips, width, align='edge', color=GREY, edgecolor='white')
        lower.set(xlabel='confidence', ylabel='clips')
    figure.legend(*upper.get_legend_handles_labels(), loc='outside lower center', ncols=2, fontsize=9)
    save_figure(figure, path)

"""Drawings of clips for papers and slides: a strip of frames (PNG), an animation (GIF, MP4).

They need matplotlib, which is not installed with mmdualhead. M persons, T frames, V joints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.evaluation.answer import Answer
from mmdualhead.utils.files import atomic_write

from .figures import BLUE, GREY, RED, new_figure, save_figure
from .pages import FRAME_RATE, is_flat, upright
from .video import Film

YAW, PITCH = np.radians(20), np.radians(8)
"""The camera for 3D joints."""


def draw_strip(answer: Answer, path: str | Path, count: int = 8) -> None:
    """A row of evenly spaced frames, joints sized by spatial attention, above a plot of temporal attention.

    Args:
        answer: the prediction to draw.
        path: the PNG.
        count: frames; fewer for shorter clips.

    Raises:
        ImportError: matplotlib is missing.
    """
    points = flattened(answer)
    frames = np.unique(np.linspace(0, points.shape[1] - 1, count).round().astype(int))
    figure = new_figure(1.5 * len(frames), 4)
    grid = figure.add_gridspec(2, len(frames), height_ratios=(3, 1))
    limits = _limits(points)
    for column, frame in enumerate(frames):
        axes = figure.add_subplot(grid[0, column])
        _draw_frame(axes, answer, points[:, frame], limits)
        axes.set_title(str(frame), fontsize=8)
    axes = figure.add_subplot(grid[1, :])
    if answer.when is not None:
        seen = np.flatnonzero(np.isfinite(answer.when))
        axes.plot(seen, answer.when[seen], '.-', color=BLUE)
    for frame in frames:
        axes.axvline(frame, color=GREY, linewidth=0.5)
    axes.set(xlim=(-0.5, points.shape[1] - 0.5), xlabel='frame', ylabel='attention')
    figure.suptitle(_title(answer), fontsize=10, parse_math=False)
    save_figure(figure, path)


def draw_animation(answer: Answer, path: str | Path, frame_rate: float = FRAME_RATE) -> None:
    """An animation of the skeleton, GIF or MP4 by the suffix of the path.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: another suffix.
        OSError: the film could not be written.
    """
    path = Path(path)
    if path.suffix not in ('.gif', '.mp4'):
        raise ValueError(f'{path}: expected .gif or .mp4')
    pictures = _pictures(answer)
    if path.suffix == '.mp4':
        with Film(path, pictures[0].shape[:2], frame_rate) as film:
            for picture in pictures:
                film.write(picture)
            film.save()
        return
    from PIL import Image

    first, *rest = [Image.fromarray(picture) for picture in pictures]
    with atomic_write(path) as file:
        first.save(file, 'GIF', save_all=True, append_images=rest, duration=1000 / frame_rate, loop=0)


def flattened(answer: Answer) -> np.ndarray:
    """(M, T, V, 2) as seen from the front, slightly from the side and above; NaN for missing joints."""
    shown = upright(answer.keypoint, answer.skeleton)
    if is_flat(answer.keypoint, answer.skeleton):
        return shown
    x, depth, up = np.moveaxis(shown, -1, 0)
    across = x * np.cos(YAW) - depth * np.sin(YAW)
    behind = x * np.sin(YAW) + depth * np.cos(YAW)
    return np.stack([across, up * np.cos(PITCH) + behind * np.sin(PITCH)], -1)


def _pictures(answer: Answer) -> list[np.ndarray]:
    """One image (H, W, 3) per frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    points = flattened(answer)
    figure = new_figure(3.6, 4.0)
    canvas, limits, pictures = FigureCanvasAgg(figure), _limits(points), []
    axes = figure.add_subplot()
    for frame in range(points.shape[1]):
        axes.clear()
        _draw_frame(axes, answer, points[:, frame], limits)
        axes.set_title(_title(answer), fontsize=8, parse_math=False)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return pictures


def _draw_frame(axes: Any, answer: Answer, points: np.ndarray, limits: np.ndarray) -> None:
    """One frame (M, V, 2)."""
    where = np.full(points.shape[1], 0.3) if answer.where is None else answer.where
    # Negligible differences are not amplified.
    strength = (where - (where.min() + where.max()) / 2) / max(np.ptp(where), 0.1) + 0.5
    for person, color in zip(points, (BLUE, GREY, RED) * len(points), strict=False):
        for a, b in answer.skeleton.bones:
            axes.plot(*person[[a, b]].T, color=color, linewidth=1)
        axes.scatter(*person.T, s=3 + 40 * strength, c=strength, cmap='YlOrRd', vmin=-0.3, vmax=1, zorder=3)
    axes.set(xlim=limits[:, 0], ylim=limits[:, 1], aspect='equal')
    axes.axis('off')


def _limits(points: np.ndarray) -> np.ndarray:
    """((left, bottom), (right, top)) with a margin."""
    there = points[np.isfinite(points).all(-1)]
    low, high = there.min(0), there.max(0)
    pad = 0.06 * max((high - low).max(), 1e-3)
    return np.stack([low - pad, high + pad])


def _title(answer: Answer) -> str:
    true = '' if answer.true_label is None else f', is {answer.classes[answer.true_label]}'
    return f'{answer.title}\n{answer.class_name} {100 * answer.confidence:.0f} %{true}'

"""The windowed product by few large products, for processors on which oneDNN is faster than MKL
(:mod:`.products`).

N clips times persons, T frames, V joints, K scales, W frames in a window, C input and D output channels, P
persons at a time. Arguments and results are those of :mod:`mmdualhead.models.ops`, all of one type.

A call of oneDNN costs some microseconds, so windows are copied side by side into one matrix instead of being
multiplied one by one.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import frames_first
from .products import at_a_time, product
from .windows import Windows, gradients


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.window_product`."""
    x = frames_first(x)
    windows = Windows(x, weight, matrix, stride)
    mixing = weight.flatten(0, 1)
    out = x.new_empty(len(x), windows.count, len(matrix), windows.mixed)
    persons = _persons(windows, x)
    padded = _padded(x, (windows.pad, windows.pad))
    for part, result in zip(padded.split(persons), out.split(persons), strict=True):
        found = _gather(matrix, _mix(part, mixing, windows.scales), stride)
        torch.add(found, bias, out=result)
    return out.permute(0, 3, 1, 2)


def _windows_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    phases = windows.phases(matrix)
    mixing = weight.flatten(0, 1)
    grad_x = torch.zeros_like(x)
    grad_mixing, grad_matrix = (torch.zeros_like(value, dtype=dtype) for value in (mixing, matrix))
    for part, grad_part, out in zip(*(t.split(_persons(windows, x)) for t in (x, grad, grad_x)), strict=True):
        # The adjacency: the mixed frames, recomputed, against the gradients, over all windows at once.
        mixed = _mix(_padded(part, (windows.pad, windows.pad)), mixing, windows.scales)
        seen = _side_by_side(mixed, windows.size, windows.stride)
        grad_matrix += product(_side_by_side(grad_part), seen.t())

        # The mixing and the input, from the gradients of every s-th mixed frame.
        for phase in phases:
            grad_frames = _gather(phase.back, _padded(grad_part, phase.pad), 1).reshape(-1, len(mixing))
            frames = part[:, phase.frames]
            grad_mixing += product(grad_frames.t(), frames.flatten(0, 2))
            out[:, phase.frames] = product(grad_frames, mixing).view_as(frames)
    return grad_x, grad_mixing.view_as(weight), grad_matrix


def _frames_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    by_scale = windows.by_scale(matrix)
    mixing = weight.transpose(0, 1).flatten(1)
    grad_x = torch.empty_like(x)
    grad_mixing, grad_by_scale = (torch.zeros_like(value, dtype=dtype) for value in (mixing, by_scale))
    for part, grad_part, out in zip(*(t.split(_persons(windows, x)) for t in (x, grad, grad_x)), strict=True):
        frames = _side_by_side(part)
        grad_frames = _side_by_side(_mix(grad_part, mixing.t(), windows.scales))
        grad_by_scale += product(grad_frames, frames.t())
        out.copy_(_unfolded(product(by_scale.t(), grad_frames), out))
        gathered = _unfolded(product(by_scale, frames), out).reshape(-1, mixing.shape[1])
        grad_mixing += product(grad_part.flatten(0, 2).t(), gathered)
    grad_weight = grad_mixing.unflatten(1, (windows.scales, -1)).transpose(0, 1)
    return grad_x, grad_weight, windows.by_joint(grad_by_scale)


window_product_backward = partial(gradients, by_windows=_windows_backward, by_frames=_frames_backward)


def _persons(windows: Windows, x: Tensor) -> int:
    return at_a_time(windows.frames * windows.rows * windows.mixed * x.element_size())


def _padded(frames: Tensor, pad: tuple[int, int]) -> Tensor:
    """Frames (P, T, R, C) between frames of zeros."""
    return F.pad(frames, (0, 0, 0, 0, *pad)) if any(pad) else frames


def _mix(frames: Tensor, mixing: Tensor, scales: int) -> Tensor:
    """(P, T, V, C) -> (P, T, V * K, D), by the matrix (K * D, C)."""
    mixed = product(frames.flatten(0, 2), mixing.t())
    return mixed.view(*frames.shape[:2], frames.shape[2] * scales, -1)


def _gather(matrix: Tensor, frames: Tensor, stride: int) -> Tensor:
    """The matrix (Q, W * R) times every window of frames: (P, T, R, D) -> (P, windows, Q, D)."""
    size = matrix.shape[1] // frames.shape[2]
    return _unfolded(product(matrix, _side_by_side(frames, size, stride)), frames)


def _side_by_side(frames: Tensor, size: int = 1, stride: int = 1) -> Tensor:
    """All windows as one matrix: (P, T, R, D) -> (W * R, P * windows * D)."""
    windows = frames.unfold(1, size, stride).permute(4, 2, 0, 1, 3)
    return windows.reshape(size * frames.shape[2], -1)


def _unfolded(rows: Tensor, frames: Tensor) -> Tensor:
    """(Q, P * windows * D) -> (P, windows, Q, D), with the P and D of frames (P, T, R, D)."""
    return rows.view(len(rows), len(frames), -1, frames.shape[3]).permute(1, 2, 0, 3)

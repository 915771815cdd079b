"""The windowed product by few large products, for processors on which oneDNN is faster than MKL
(:mod:`.products`).

N clips times persons, T frames, V joints, K scales, W frames in a window, C input and D output channels, P
persons at a time. Arguments and results are those of :mod:`mmdualhead.models.ops`, all of one type.

A call of oneDNN costs some microseconds, so windows are copied side by side into one matrix instead of being
multiplied one by one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import frames_first
from .products import at_a_time, product
from .windows import Windows


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.window_product`."""
    x = frames_first(x)
    windows = Windows(x, weight, matrix, stride)
    mixing = weight.flatten(0, 1).t()
    out = x.new_empty(len(x), windows.count, len(matrix), windows.mixed)
    persons = _persons(windows, x)
    for part, result in zip(x.split(persons), out.split(persons), strict=True):
        found = _gather(matrix, _mix(windows, part, mixing), stride, (windows.pad, windows.pad))
        torch.add(found, bias, out=result)
    return out.permute(0, 3, 1, 2)


def window_product_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,  # noqa: ARG001
    matrix: Tensor,
    stride: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, weight, bias and matrix, from that of the output."""
    x, grad = frames_first(x), frames_first(grad)
    windows = Windows(x, weight, matrix, stride)
    phases = windows.phases(matrix)
    mixing = weight.flatten(0, 1)
    grad_x, grad_mixing, grad_matrix = (torch.zeros_like(value) for value in (x, mixing, matrix))
    for part, grad_part, out in zip(*(t.split(_persons(windows, x)) for t in (x, grad, grad_x)), strict=True):
        # The adjacency: the mixed frames, recomputed, against the gradients, over all windows at once.
        mixed = _mix(windows, part, mixing.t())
        seen = _side_by_side(mixed, windows.size, stride, (windows.pad, windows.pad))
        grad_matrix += product(grad_part.permute(2, 0, 1, 3).flatten(1), seen.t())

        # The mixing and the input, from the gradients of every s-th mixed frame.
        for phase in phases:
            grad_frames = _gather(phase.back, grad_part, 1, phase.pad).reshape(-1, len(mixing))
            frames = part[:, phase.frames]
            grad_mixing += product(grad_frames.t(), frames.flatten(0, 2))
            out[:, phase.frames] = product(grad_frames, mixing).view_as(frames)
    return grad_x.permute(0, 3, 1, 2), grad_mixing.view_as(weight), grad.sum((0, 1, 2)), grad_matrix


def _persons(windows: Windows, x: Tensor) -> int:
    return at_a_time(windows.frames * windows.rows * windows.mixed * x.element_size())


def _mix(windows: Windows, part: Tensor, mixing: Tensor) -> Tensor:
    """(P, T, V, C) -> (P, T, V * K, D)."""
    shape = (len(part), windows.frames, windows.rows, windows.mixed)
    return product(part.flatten(0, 2), mixing).view(shape)


def _gather(matrix: Tensor, frames: Tensor, stride: int, pad: tuple[int, int]) -> Tensor:
    """The matrix times every window of frames.

    Args:
        matrix: (Q, W * R).
        frames: (P, T, R, D).
        stride: s.
        pad: frames of zeros before and after the others.

    Returns:
        (P, windows, Q, D).
    """
    persons, _, rows, channels = frames.shape
    seen = _side_by_side(frames, matrix.shape[1] // rows, stride, pad)
    return product(matrix, seen).view(len(matrix), persons, -1, channels).permute(1, 2, 0, 3)


def _side_by_side(frames: Tensor, size: int, stride: int, pad: tuple[int, int]) -> Tensor:
    """All windows as one matrix: (P, T, R, D) -> (W * R, P * windows * D)."""
    padded = F.pad(frames, (0, 0, 0, 0, *pad)) if any(pad) else frames
    windows = padded.unfold(1, size, stride).permute(4, 2, 0, 1, 3)
    return windows.reshape(size * frames.shape[2], -1)

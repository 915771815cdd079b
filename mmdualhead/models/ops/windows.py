"""The windows of the windowed product, and of its backward pass.

N clips times persons, T frames, V joints, K scales, W frames in a window, C input and D output channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .layout import frames_first


class Windows:
    """Sizes of one person's windows.

    Args:
        x: (N, T, V, C).
        weight: (K, D, C).
        matrix: (V * W, W * V * K).
        stride: s, frames between windows.
    """

    def __init__(self, x: Tensor, weight: Tensor, matrix: Tensor, stride: int) -> None:
        _, self.frames, joints, _ = x.shape
        self.scales, self.mixed, _ = weight.shape
        self.rows = joints * self.scales
        """V * K, of a mixed frame."""
        self.size = matrix.shape[1] // self.rows
        self.stride = stride
        self.pad = (self.size - 1) // 2
        self.count = (self.frames - 1) // stride + 1
        self.are_frames = self.size == stride == 1

    def by_scale(self, matrix: Tensor) -> Tensor:
        """Where W = 1, the matrix whose rows are (v, k) instead of the columns (u, k): (V * K, V)."""
        return matrix.unflatten(1, (-1, self.scales)).transpose(1, 2).flatten(0, 1)

    def by_joint(self, matrix: Tensor) -> Tensor:
        """The inverse of :meth:`by_scale`."""
        return matrix.unflatten(0, (-1, self.scales)).transpose(1, 2).flatten(1)

    def phases(self, matrix: Tensor) -> list[Phase]:
        """All frames, by their places in the windows around them."""
        phases = [Phase(self, matrix, place) for place in range(min(self.stride, self.size))]
        return [phase for phase in phases if phase.count]


class Phase:
    """The frames at the places r, r + s, r + 2s, ... of the windows around them.

    Frame s q + r - p is in the windows q, q - 1, ..., so its gradient is again a product with
    overlapping windows: of the matrix, transposed, with the gradients of consecutive windows.
    """

    def __init__(self, windows: Windows, matrix: Tensor, place: int) -> None:
        stride, offset = windows.stride, place - windows.pad
        places = range(place, windows.size, stride)
        first = -(offset // stride)  # the first q whose frame is not before the first
        last = (windows.frames - 1 - offset) // stride
        self.size = len(places)
        self.count = last - first + 1
        self.frames = slice(stride * first + offset, windows.frames, stride)
        by_place = matrix.unflatten(1, (windows.size, windows.rows))
        self.back = torch.cat([by_place[:, j].t() for j in reversed(places)], 1)
        self.pad = (self.size - 1 - first, last + 1 - windows.count)
        """Windows of zeros before and after the others."""
        self.channels = windows.scales * windows.mixed


def gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    matrix: Tensor,
    stride: int,
    by_windows: Callable,
    by_frames: Callable,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, weight, bias and matrix, from that of the output.

    Args:
        grad: (N, D, windows, V * W).
        x, weight, bias, matrix, stride: see :func:`mmdualhead.models.ops.window_product`.
        by_windows: a device's gradients of x, weight and matrix, from those of the output, x, weight and
            matrix in the type of x, the sizes, and the type of sums over persons. It mixes the frames again,
            which is less than to mix the gradients of all windows.
        by_frames: the same where windows are single frames. It mixes the gradients as the frames were mixed,
            and aggregates the frames over the graph, which saves a product.
    """
    x, grad = frames_first(x), frames_first(grad)
    sums = torch.promote_types(weight.dtype, torch.float32)  # over persons, also in half precision
    parameters = (weight, bias, matrix)
    weight, matrix = weight.to(x.dtype), matrix.to(x.dtype)
    windows = Windows(x, weight, matrix, stride)
    backward = by_frames if windows.are_frames else by_windows
    grad_x, grad_weight, grad_matrix = backward(grad, x, weight, matrix, windows, sums)
    grads = (grad_weight, grad.sum((0, 1, 2), dtype=sums), grad_matrix)
    return grad_x.permute(0, 3, 1, 2), *(
        total.to(like.dtype) for total, like in zip(grads, parameters, strict=True)
    )

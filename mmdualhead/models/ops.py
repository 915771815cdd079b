"""The windowed graph product, the network's most expensive operation, with a backward of its own.

N clips times persons, T frames, V joints, K scales, W frames in a window, C input and D output channels.
Tensors are (N, T, V, C) in memory, so that a window of consecutive frames is one contiguous matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    r"""Mix the channels of every frame, then gather every window over the graph.

    .. math:: H[t, (v, i)] = b + \sum_{k, j, u} A_k[(i, v), (j, u)] \, (W_k x)[s t + j - p, u], \quad p = (W
    - 1) / 2

    A frame stands in W windows, so mixing it once, before the windows are formed, saves W-fold work; with
    (j, u, k) in one row the sum is a plain matrix product, and windows are overlapping views of the mixed
    frames, never copied. One clip at a time, the mixed frames stay in the cache; the backward forms them
    again instead of keeping K * D channels a joint.

    Args:
        x: (N, T, V, C), contiguous.
        weight: (K, D, C), the mixing of each scale.
        bias: (D,).
        matrix: (V * W, W * V * K), the adjacency with rows (v, i) and columns (j, u, k).
        stride: s, frames between windows.

    Returns:
        (N, ceil(T / s), V * W, D).
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias, matrix = (t.to(dtype) for t in (x, weight, bias, matrix))
    return _WindowProduct.apply(x, weight, bias, matrix, stride)


class _Windows:
    """Where the windows of one clip lie in its padded frames."""

    def __init__(self, x: Tensor, weight: Tensor, matrix: Tensor, stride: int) -> None:
        _, self.frames, joints, _ = x.shape
        self.scales, self.mixed, _ = weight.shape
        self.size = matrix.shape[1] // (joints * self.scales)
        self.stride = stride
        self.pad = (self.size - 1) // 2
        self.rows = joints * self.scales
        self.count = (self.frames + 2 * self.pad - self.size) // stride + 1

    def frame_buffer(self, like: Tensor) -> Tensor:
        """Room for one clip's mixed frames between zero frames: (T + 2p, V * K, D)."""
        buffer = like.new_empty(self.frames + 2 * self.pad, self.rows, self.mixed)
        buffer[: self.pad] = 0
        buffer[self.pad + self.frames :] = 0
        return buffer

    def inner(self, buffer: Tensor) -> Tensor:
        """The clip's own frames in the buffer, as (T * V, K * D)."""
        return buffer[self.pad : self.pad + self.frames].view(-1, self.scales * self.mixed)

    def view(self, buffer: Tensor) -> Tensor:
        """(count, W * V * K, D), overlapping."""
        step, row, _ = buffer.stride()
        return buffer.as_strided(
            (self.count, self.size * self.rows, self.mixed), (self.stride * step, row, 1)
        )


class _WindowProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int
    ) -> Tensor:
        windows = _Windows(x, weight, matrix, stride)
        mixing = weight.flatten(0, 1).t()
        each = matrix.expand(windows.count, -1, -1)
        buffer = windows.frame_buffer(x)
        out = x.new_empty(len(x), windows.count, len(matrix), windows.mixed)
        for clip, result in zip(x.flatten(1, 2), out, strict=True):
            torch.mm(clip, mixing, out=windows.inner(buffer))
            torch.bmm(each, windows.view(buffer), out=result).add_(bias)
        ctx.save_for_backward(x, weight, matrix)
        ctx.stride = stride
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, matrix = ctx.saved_tensors
        windows = _Windows(x, weight, matrix, ctx.stride)
        mixing = weight.flatten(0, 1)
        buffer = windows.frame_buffer(x)
        back = matrix.t().expand(windows.count, -1, -1)
        grad_x = torch.empty_like(x)
        sums = dict(dtype=torch.promote_types(x.dtype, torch.float32))  # over clips, also in half precision
        grad_weight, grad_matrix = torch.zeros_like(mixing, **sums), torch.zeros_like(matrix, **sums)
        grad_windows = x.new_empty(windows.count, windows.size * windows.rows, windows.mixed)
        for clip, grad_clip, out in zip(
            x.flatten(1, 2), grad.contiguous(), grad_x.flatten(1, 2), strict=True
        ):
            torch.mm(clip, mixing.t(), out=windows.inner(buffer))
            grad_matrix += _rows(grad_clip) @ _rows(windows.view(buffer)).t()
            torch.bmm(back, grad_clip, out=grad_windows)
            grad_frames = _overlap_add(grad_windows, windows)
            grad_weight += grad_frames.t() @ clip
            torch.mm(grad_frames, mixing, out=out)
        grads = (grad_weight.view_as(weight), grad.sum((0, 1, 2)), grad_matrix)
        return grad_x, *(g.to(x.dtype) for g in grads), None


def _rows(values: Tensor) -> Tensor:
    """(count, rows, D) -> (rows, count * D): all windows side by side, so that one product sums over them."""
    return values.transpose(0, 1).flatten(1)


def _overlap_add(values: Tensor, windows: _Windows) -> Tensor:
    """Sum what every window says of a frame: (count, W * V * K, D) -> (T * V, K * D)."""
    total = values.new_zeros(windows.frames + 2 * windows.pad, windows.rows, windows.mixed)
    for j, part in enumerate(values.view(windows.count, windows.size, windows.rows, -1).unbind(1)):
        total[j : j + windows.stride * windows.count : windows.stride][: windows.count] += part
    return windows.inner(total)

"""Kernels for a CPU: one person at a time, whose mixed frames then stay in the cache.

N clips times persons, T frames, V joints, K scales or subsets, W frames in a window, C input and D output
channels. Arguments and results are those of :mod:`mmdualhead.models.ops`.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from . import collapse
from .layout import frames_first
from .products import at_a_time, product
from .windows import Phase, Windows, gradients


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.window_product`."""
    x = frames_first(x)
    weight, bias, matrix = (t.to(x.dtype) for t in (weight, bias, matrix))
    windows = Windows(x, weight, matrix, stride)
    mixing = weight.flatten(0, 1).t()
    each = matrix.expand(windows.count, -1, -1)
    buffer = _frame_buffer(windows, x)
    mixed, seen = _inner(windows, buffer), _overlapping(buffer, windows.count, windows.size, stride)
    out = x.new_empty(len(x), windows.count, len(matrix), windows.mixed)
    shift = bias.repeat(len(matrix))  # long rows, since half precision is slow to add to short ones
    for person, result, rows in zip(x.flatten(1, 2), out, out.flatten(2), strict=True):
        torch.mm(person, mixing, out=mixed)
        torch.bmm(each, seen, out=result)
        rows.add_(shift)
    return out.permute(0, 3, 1, 2)


def mix_and_collapse(x: Tensor, weight: Tensor, bias: Tensor, collapsing: Tensor, shift: Tensor) -> Tensor:
    """See :func:`mmdualhead.models.ops.mix_and_collapse`."""
    return collapse.forward(x, weight, bias, collapsing, shift, _frames(x, weight))


def mix_and_collapse_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, collapsing: Tensor, shift: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of x, weight, bias, collapsing and shift, from that of the output."""
    return collapse.backward(grad, x, weight, bias, collapsing, shift, _frames(x, weight))


def temporal_max(x: Tensor, stride: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.temporal_max_pool`.

    PyTorch's pool also records where the largest values are, which only a gradient needs.
    """
    padded = F.pad(x, (0, 0, 1, 1), value=-torch.inf)
    before, same, after = (padded[:, :, first : first + x.shape[2] : stride] for first in range(3))
    return torch.maximum(before, same).maximum(after)


def topology_product(
    x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """See :func:`mmdualhead.models.ops.topology_product`; and the mixed frames (N, K, D, T, V), if kept."""
    x = frames_first(x)
    weight, bias, bases, coefficients = (t.to(x.dtype) for t in (weight, bias, bases, coefficients))
    mixing, (_, frames, joints, _) = weight.flatten(0, 1), x.shape
    mixed = x.new_empty(len(x) if keep else 1, len(mixing), frames * joints)
    topologies = x.new_empty(*weight.shape[:2], joints**2)
    total = x.new_empty(weight.shape[1], frames, joints)
    out = x.new_empty(len(x), frames * joints, weight.shape[1])
    for n, rows in enumerate(x.flatten(1, 2)):
        product(mixing, rows.t(), bias.view(-1, 1), out=mixed[n if keep else 0])
        torch.bmm(coefficients, bases[n].flatten(2), out=topologies)
        by_channel = mixed[n if keep else 0].view(*weight.shape[:2], frames, joints)
        first, *others = zip(by_channel, topologies.unflatten(2, (joints, -1)).transpose(2, 3), strict=True)
        torch.bmm(*first, out=total)
        for values, topology in others:
            torch.baddbmm(total, values, topology, out=total)
        out[n].copy_(total.flatten(1).t())
    kept = mixed.view(-1, *weight.shape[:2], frames, joints) if keep else x.new_empty(0)
    return out.unflatten(1, (frames, joints)).permute(0, 3, 1, 2), kept


def topology_product_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor, mixed: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of x, weight, bias, bases and coefficients, from that of the output."""
    x, grad = frames_first(x), frames_first(grad)
    parameters = (weight, bias, coefficients)
    sums = dict(dtype=torch.promote_types(x.dtype, torch.float32))  # over persons, also in half precision
    grads = [torch.zeros_like(parameter, **sums) for parameter in parameters]
    mixing, coefficients = weight.flatten(0, 1).to(x.dtype), coefficients.to(x.dtype)
    grad_x, grad_bases = torch.empty_like(x), torch.empty_like(bases)
    into, grad_mixed = x.new_empty(mixed.shape[2:]), x.new_empty(mixed.shape[1:])
    topologies = x.new_empty(*weight.shape[:2], x.shape[2], x.shape[2])
    grad_topologies = torch.empty_like(topologies)
    for n, rows in enumerate(x.flatten(1, 2)):
        own_bases = bases[n].flatten(2).to(x.dtype)
        torch.bmm(coefficients, own_bases, out=topologies.flatten(2))
        into.flatten(1).copy_(grad[n].flatten(0, 1).t())
        for k, values in enumerate(mixed[n]):
            torch.bmm(into.transpose(1, 2), values, out=grad_topologies[k])
            torch.bmm(into, topologies[k], out=grad_mixed[k])

        # The gradients of the bases of the topologies.
        found = grad_topologies.flatten(2)
        grads[2] += found @ own_bases.transpose(1, 2)
        grad_bases[n] = torch.bmm(coefficients.transpose(1, 2), found).view_as(bases[n])

        # The mixing and the input.
        values = grad_mixed.view(len(mixing), -1)
        grads[0] += product(values, rows).view_as(weight)
        grads[1] += values.sum(1, **sums).view_as(bias)
        product(values.t(), mixing, out=grad_x[n].flatten(0, 1))
    of_weight, of_bias, of_coefficients = (g.to(p.dtype) for g, p in zip(grads, parameters, strict=True))
    return grad_x.permute(0, 3, 1, 2), of_weight, of_bias, grad_bases, of_coefficients


def _windows_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    phases = windows.phases(matrix)
    mixing = weight.flatten(0, 1)
    buffer = _frame_buffer(windows, x)
    grad_x = torch.zeros_like(x)
    grad_mixing, grad_matrix = (torch.zeros_like(value, dtype=dtype) for value in (mixing, matrix))
    for person, grad_person, out in zip(x, grad, grad_x, strict=True):
        # The adjacency: the mixed frames, recomputed, against the gradients, over all windows at once.
        torch.mm(person.flatten(0, 1), mixing.t(), out=_inner(windows, buffer))
        seen = _overlapping(buffer, windows.count, windows.size, windows.stride)
        grad_matrix += _rows(grad_person) @ _rows(seen).t()

        # The mixing and the input, from the gradients of every s-th mixed frame.
        for phase in phases:
            grad_frames = _gather(phase, grad_person)
            grad_mixing += grad_frames.t() @ person[phase.frames].flatten(0, 1)
            out[phase.frames] = (grad_frames @ mixing).view_as(out[phase.frames])
    return grad_x, grad_mixing.view_as(weight), grad_matrix


def _frames_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    by_scale = windows.by_scale(matrix)
    mixing = weight.transpose(0, 1).flatten(1)
    each = by_scale.expand(windows.frames, -1, -1)
    grad_x = torch.empty_like(x)
    grad_mixing, grad_by_scale = (torch.zeros_like(value, dtype=dtype) for value in (mixing, by_scale))
    for person, grad_person, out in zip(x, grad, grad_x, strict=True):
        rows = grad_person.flatten(0, 1)
        grad_frames = (rows @ mixing).view(windows.frames, windows.rows, -1)
        grad_by_scale += _rows(grad_frames) @ _rows(person).t()
        torch.bmm(each.transpose(1, 2), grad_frames, out=out)
        grad_mixing += rows.t() @ torch.bmm(each, person).view(len(rows), -1)
    grad_weight = grad_mixing.unflatten(1, (windows.scales, -1)).transpose(0, 1)
    return grad_x, grad_weight, windows.by_joint(grad_by_scale)


window_product_backward = partial(gradients, by_windows=_windows_backward, by_frames=_frames_backward)


def _frames(x: Tensor, weight: Tensor) -> int:
    """The number of one person's frames whose channels inside the windows stay in the cache."""
    return min(x.shape[1], at_a_time(x.shape[2] * len(weight) * x.element_size()))


def _frame_buffer(windows: Windows, like: Tensor) -> Tensor:
    """A buffer for one person's mixed frames between zero frames: (T + 2p, V * K, D)."""
    buffer = like.new_empty(windows.frames + 2 * windows.pad, windows.rows, windows.mixed)
    buffer[: windows.pad] = 0
    buffer[windows.pad + windows.frames :] = 0
    return buffer


def _inner(windows: Windows, buffer: Tensor) -> Tensor:
    """The person's own frames in the buffer, as (T * V, K * D)."""
    return buffer[windows.pad : windows.pad + windows.frames].view(-1, windows.scales * windows.mixed)


def _overlapping(frames: Tensor, count: int, size: int, stride: int) -> Tensor:
    """Windows of frames (T, R, D): (count, W * R, D), a view."""
    step, row, _ = frames.stride()
    return frames.as_strided((count, size * frames.shape[1], frames.shape[2]), (stride * step, row, 1))


def _gather(phase: Phase, grad: Tensor) -> Tensor:
    """The gradient of the mixed frames: (windows, V * W, D) -> (frames * V, K * D)."""
    seen = _overlapping(F.pad(grad, (0, 0, 0, 0, *phase.pad)), phase.count, phase.size, 1)
    return torch.bmm(phase.back.expand(phase.count, -1, -1), seen).view(-1, phase.channels)


def _rows(values: Tensor) -> Tensor:
    """(count, rows, D) -> (rows, count * D): all windows side by side, so that one product sums over them."""
    return values.transpose(0, 1).flatten(1)

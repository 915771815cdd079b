"""Mixing and collapsing windows, a given number of persons at a time.

N clips times persons, T frames, V joints, W frames in a window, C input and D output channels, F channels
inside the windows.
Arguments and results are :func:`~mmdualhead.models.ops.mix_and_collapse`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .products import product


def forward(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor, persons: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.mix_and_collapse`."""
    window = collapse.shape[1] // len(weight)
    weight, bias, collapse, shift = (t.to(x.dtype) for t in (weight, bias, collapse, shift))
    out = x.new_empty(*x.shape[:2], x.shape[3] // window, len(collapse))
    for part, result in zip(x.split(persons), out.split(persons), strict=True):
        features = _features(part, weight, bias)
        rows = features.view(-1, collapse.shape[1])
        product(rows, collapse.t(), shift, out=result.view(-1, len(collapse)))
    return out


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    collapse: Tensor,
    shift: Tensor,
    persons: int,
) -> tuple[Tensor, ...]:
    """The gradients of x, weight, bias, collapse and shift, from that of the output."""
    grad = grad.flatten(1, 2).contiguous()
    parameters = (weight, bias, collapse, shift)
    sums = dict(dtype=torch.promote_types(weight.dtype, torch.float32))  # over persons
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    grads = [torch.zeros_like(parameter, **sums) for parameter in parameters]
    weight, bias, collapse = (t.to(x.dtype) for t in (weight, bias, collapse))
    for rows, out, grad_part in zip(*(t.split(persons) for t in (x, grad_x, grad)), strict=True):
        # The features, recomputed, and their gradient, which the ReLU stops where they are zero.
        features = _features(rows, weight, bias).view(*grad_part.shape[:2], collapse.shape[1])
        into = product(grad_part.flatten(0, 1), collapse).view_as(features).mul_(features > 0)

        # The collapse, by person, so that the sums over persons are kept in single precision.
        grads[2] += torch.bmm(grad_part.transpose(1, 2), features).sum(0, **sums)
        grads[3] += grad_part.sum((0, 1), **sums)

        # The mixing and the input.
        into = into.view(-1, rows.shape[3], len(weight)).transpose(1, 2)
        grads[0] += torch.bmm(into, rows.flatten(0, 1).transpose(1, 2)).sum(0, **sums)
        grads[1] += into.sum((0, 2), **sums)
        torch.bmm(weight.t().expand(len(into), -1, -1), into, out=out.flatten(0, 1))
    return grad_x, *(total.to(like.dtype) for total, like in zip(grads, parameters, strict=True))


def _features(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The features inside the windows, (N * T, V * W, F)."""
    frames = x.flatten(0, 1).transpose(1, 2)
    return torch.baddbmm(bias, frames, weight.t().expand(len(frames), -1, -1)).relu_()

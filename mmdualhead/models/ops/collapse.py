"""Mixing and collapsing windows, a given number of persons at a time.

N clips times persons, L windows of W frames, C input and D output channels, F channels inside the windows.
Arguments and results are :func:`~mmdualhead.models.ops.mix_and_collapse`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor, persons: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.mix_and_collapse`."""
    x = x.contiguous()
    window = collapse.shape[1] // len(weight)
    weight, bias, collapse, shift = (t.to(x.dtype) for t in (weight, bias, collapse, shift))
    out = x.new_empty(len(x), x.shape[1] // window, len(collapse))
    for part, result in zip(x.split(persons), out.split(persons), strict=True):
        features = _features(part, weight, bias)
        torch.addmm(
            shift, features.view(-1, collapse.shape[1]), collapse.t(), out=result.view(-1, len(collapse))
        )
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
    x, grad = x.contiguous(), grad.contiguous()
    parameters = (weight, bias, collapse, shift)
    sums = dict(dtype=torch.promote_types(weight.dtype, torch.float32))  # over persons
    grad_x = torch.empty_like(x)
    grads = [torch.zeros_like(parameter, **sums) for parameter in parameters]
    weight, bias, collapse = (t.to(x.dtype) for t in (weight, bias, collapse))
    for rows, out, grad_part in zip(*(t.split(persons) for t in (x, grad_x, grad)), strict=True):
        # The features, recomputed, and their gradient, which the ReLU stops where they are zero.
        features = _features(rows, weight, bias).view(*grad_part.shape[:2], collapse.shape[1])
        into = torch.mm(grad_part.flatten(0, 1), collapse).view_as(features).mul_(features > 0)

        # The collapse, by person, so that the sums over persons are kept in single precision.
        grads[2] += torch.bmm(grad_part.transpose(1, 2), features).sum(0, **sums)
        grads[3] += grad_part.sum((0, 1), **sums)

        # The mixing and the input.
        into = into.view(*rows.shape[:2], len(weight))
        grads[0] += torch.bmm(into.transpose(1, 2), rows).sum(0, **sums)
        grads[1] += into.sum((0, 1), **sums)
        torch.mm(into.flatten(0, 1), weight, out=out.view(-1, x.shape[2]))
    return grad_x, *(total.to(like.dtype) for total, like in zip(grads, parameters, strict=True))


def _features(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The features inside the windows, (N * L * W, F)."""
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).relu_()

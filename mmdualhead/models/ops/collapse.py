"""Mixing and collapsing windows, a given number of frames at a time: a part of a person's, or several
persons'.

N clips times persons, T frames, V joints, W frames in a window, C input and D output channels, F channels
inside the windows. Arguments and results are :func:`~mmdualhead.models.ops.mix_and_collapse`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .products import product


def forward(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor, count: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.mix_and_collapse`."""
    window = collapse.shape[1] // len(weight)
    weight, bias, collapse, shift = (t.to(x.dtype) for t in (weight, bias, collapse, shift))
    out = x.new_empty(*x.shape[:2], x.shape[2] // window, len(collapse))
    for frames, result in zip(*(t.flatten(0, 1).split(count) for t in (x, out)), strict=True):
        features = _features(frames.flatten(0, 1), weight, bias).view(-1, collapse.shape[1])
        product(features, collapse.t(), shift, out=result.view(-1, len(collapse)))
    return out


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    collapse: Tensor,
    shift: Tensor,
    count: int,
) -> tuple[Tensor, ...]:
    """The gradients of x, weight, bias, collapse and shift, from that of the output."""
    parameters = (weight, bias, collapse, shift)
    sums = dict(dtype=torch.promote_types(weight.dtype, torch.float32))  # over persons
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    grads = [torch.zeros_like(parameter, **sums) for parameter in parameters]
    weight, bias, collapse = (t.to(x.dtype) for t in (weight, bias, collapse))
    parts = (t.flatten(0, 1).split(count) for t in (x, grad_x, grad.contiguous()))
    for frames, out, grad_frames in zip(*parts, strict=True):
        # The features, recomputed, and their gradient, which the ReLU stops where they are zero.
        rows, grad_rows = frames.flatten(0, 1), grad_frames.flatten(0, 1)
        features = _features(rows, weight, bias)
        into = product(grad_rows, collapse).view_as(features)
        into = torch.ops.aten.threshold_backward(into, features, 0)

        # The collapse.
        persons = max(1, len(frames) // x.shape[1])
        grads[2] += _summed(grad_rows, features.view(len(grad_rows), -1), persons, **sums)
        grads[3] += grad_rows.sum(0, **sums)

        # The mixing and the input.
        grads[0] += _summed(into, rows, persons, **sums)
        grads[1] += into.sum(0, **sums)
        product(into, weight, out=out.flatten(0, 1))
    return grad_x, *(total.to(like.dtype) for total, like in zip(grads, parameters, strict=True))


def _features(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The features inside the windows, (frames * V * W, F)."""
    return product(rows, weight.t(), bias).relu_()


def _summed(a: Tensor, b: Tensor, persons: int, dtype: torch.dtype) -> Tensor:
    """The product a' b of (R, M) and (R, N): by person, and their sum in single precision."""
    if persons == 1:
        return product(a.t(), b)
    a, b = (t.unflatten(0, (persons, -1)) for t in (a, b))
    return torch.bmm(a.transpose(1, 2), b).sum(0, dtype=dtype)

"""Matrix products on a CPU, by the library that is fastest at them.

PyTorch multiplies float32 matrices by Intel's MKL, which uses AVX-512 only on Intel's processors. On AMD's
that have it (Zen 4 and later), oneDNN, by which PyTorch computes convolutions, is about twice as fast.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

CPUINFO = Path('/proc/cpuinfo')

CACHED = 2 << 20
"""Bytes of an intermediate at a time, so that the cache holds them."""


def product(a: Tensor, b: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """The product of two matrices (M, K) and (K, N), plus a bias (N,) or (M, 1); not differentiable."""
    if not onednn_is_faster(a.dtype):
        return torch.mm(a, b, out=out) if bias is None else torch.addmm(bias, a, b, out=out)
    # oneDNN copies the first matrix unless its rows are contiguous: it gets the smaller one.
    is_in_order = a.is_contiguous() or a.numel() < b.numel()
    if is_in_order and out is None and bias is not None and bias.dim() == 1:
        return _linear(a, b.t(), bias)
    found = _linear(a, b.t()) if is_in_order else _linear(b.t(), a).t()
    if bias is not None:
        return torch.add(found, bias, out=out)
    return found if out is None else out.copy_(found)


def at_a_time(size: int) -> int:
    """The number of parts of this size, in bytes, to process at a time."""
    return max(1, CACHED // (size or 1))


class Linear(torch.autograd.Function):
    """x W' + b over the last axis, by oneDNN; x (..., C), W (D, C) and b (D,) or None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(..., C) -> (..., D)."""
        ctx.save_for_backward(x, weight)  # x as it is, which may be a view: its rows are copied again
        return _linear(_rows(x), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that are needed of x, weight and bias, from that of the output."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        grad = _rows(grad)
        return (
            product(grad, weight).view(x.shape) if of_x else None,
            product(grad.t(), _rows(x)) if of_weight else None,
            grad.sum(0) if of_bias else None,
        )


@cache
def onednn_is_faster(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies matrices of this type faster than what PyTorch uses."""
    return (
        dtype == torch.float32
        and _vendor() == 'AuthenticAMD'
        and torch.backends.cpu.get_cpu_capability() == 'AVX512'
        and torch.backends.mkl.is_available()
        and _has_onednn()
    )


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """oneDNN's x W' + b, an operation that PyTorch's compiler uses; slow with strides of another kind."""
    weight = weight if weight.t().is_contiguous() else weight.contiguous()
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')


def _has_onednn() -> bool:
    return hasattr(torch.ops.mkldnn, '_linear_pointwise')


def _vendor() -> str:
    """Of the processor, as it names itself."""
    if not CPUINFO.exists():
        return platform.processor().rpartition(', ')[2]  # on Windows, the last part
    with CPUINFO.open(encoding='utf-8') as file:
        lines = file.read(200).splitlines()[:2]  # the first processor's
    return dict(line.split('\t: ') for line in lines if '\t: ' in line).get('vendor_id', '')


def _flops(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * x[0] * x[1] * weight[0]


if _has_onednn():
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)

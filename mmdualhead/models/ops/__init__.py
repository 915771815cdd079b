"""The networks' most expensive operations, each with a backward pass and kernels for CPUs and other devices.

N clips times persons, T frames, V joints, K scales or subsets, W frames in a window, C input and D output
channels, F channels inside the windows. Feature maps are (N, C, T, V) in channels_last memory, so that
consecutive frames are one matrix.

On a CPU, kernels process one person at a time (:mod:`.cpu`), which then stays in the cache; where oneDNN
multiplies matrices faster than MKL (:mod:`.products`), a few, by large products (:mod:`.onednn`). On other
devices they process as many persons as :data:`.batched.BUDGET` allows (:mod:`.batched`), so that the number
of launches does not grow with the batch. Tracers see the standard operations of :mod:`.plain`. Only this
module chooses among them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import CustomOpDef, custom_op, register_autograd
from torch.utils.flop_counter import register_flop_formula

from . import batched, cpu, onednn, plain
from .batched import set_budget
from .products import Linear, onednn_is_faster

__all__ = [
    'linear',
    'mix_and_collapse',
    'pointwise_conv',
    'set_budget',
    'standard_operations',
    'stretch',
    'temporal_max_pool',
    'topology_product',
    'window_product',
]


class _Thread(threading.local):
    standard = False


_thread = _Thread()


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    r"""Mix the channels of every frame, then gather every window over the graph.

    .. math::
        H[t, (v, i)] = b + \sum_{k, j, u} A_k[(i, v), (j, u)] \, (W_k x)[s t + j - p, u],
        \quad p = (W - 1) / 2

    A frame belongs to W windows, so mixing it once, before the windows are formed, saves W-fold work; with
    (j, u, k) in one row the sum is a plain matrix product, and windows are overlapping views of the mixed
    frames. The backward pass recomputes the mixed frames instead of storing K * D channels per
    joint.

    Args:
        x: (N, C, T, V). Under autocast it is cast, products run in its type, and the sums that make up the
            gradients of the other arguments stay in theirs.
        weight: (K, D, C), the mixing of each scale.
        bias: (D,).
        matrix: (V * W, W * V * K), the adjacency with rows (v, i) and columns (j, u, k).
        stride: s, frames between windows.

    Returns:
        (N, D, ceil(T / s), V * W).
    """
    operation = plain.window_product if _traced() else _window_product
    return operation(_cast(x), weight, bias, matrix, stride)


def mix_and_collapse(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor) -> Tensor:
    r"""Mix the channels of every frame in each window, ReLU, then collapse the window to one frame.

    .. math:: y[t, v] = c + \sum_i C_i \, \max(0, W x[t, (v, i)] + b)

    The F channels inside the windows, a network's largest tensor, are never materialized; the backward
    pass recomputes them.

    Args:
        x: (N, T, V * W, C), joint by joint; cast under autocast as in :func:`window_product`.
        weight, bias: W, (F, C), and b, (F,).
        collapse, shift: C, (D, W * F), frame by frame, and c, (D,).

    Returns:
        (N, T, V, D).
    """
    operation = plain.mix_and_collapse if _traced() else _mix_and_collapse
    return operation(_cast(x), weight, bias, collapse, shift)


def topology_product(x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    r"""Mix the channels of every frame, then aggregate each channel over its own topology.

    .. math::
        y_d[t, v] = \sum_{k, u} Q_{kd}[v, u] \, (W_k x + b_k)_d[t, u],
        \quad Q_{kd} = \sum_e c_{kde} B_{ke}

    The mixed frames, (N, K, D, T, V), are stored for the backward pass; the topologies, (N, K, D, V, V), are
    computed for a few persons at a time, and recomputed in the backward pass.

    Args:
        x: (N, C, T, V); cast under autocast as in :func:`window_product`.
        weight, bias: W, (K, D, C), and b, (K, D), the mixing of each subset.
        bases: B, (N, K, E, V, V), the matrices that a person's topologies are combined from.
        coefficients: c, (K, D, E).

    Returns:
        (N, D, T, V).
    """
    if _traced():
        return plain.topology_product(_cast(x), weight, bias, bases, coefficients)
    keep = torch.is_grad_enabled()
    return _topology_product(_cast(x), weight, bias, bases, coefficients, keep)[0]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W' + b over the last axis, as :func:`torch.nn.functional.linear`."""
    if not _is_for_onednn(x, weight):
        return F.linear(x, weight, bias)
    return Linear.apply(x, weight, bias)


def pointwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 convolution with the weight (D, C, 1, 1): (N, C, T, V) -> (N, D, T, V)."""
    frames, matrix = x.permute(0, 2, 3, 1), weight.flatten(1)
    if not _is_for_onednn(frames, matrix):
        return F.conv2d(x, weight, bias)
    return linear(frames, matrix, bias).permute(0, 3, 1, 2)


def stretch(mask: Tensor, x: Tensor) -> Tensor:
    """A mask (N, 1, T') for the frames of x (N, C, T, V), each with the value nearest in time."""
    return plain.stretch(mask, x) if _traced() else F.interpolate(mask, size=x.shape[2])


def temporal_max_pool(x: Tensor, stride: int) -> Tensor:
    """The largest of every frame and its two neighbors: (N, C, T, V) -> (N, C, ceil(T / s), V)."""
    is_plain = torch.is_grad_enabled() or x.device.type != 'cpu' or _traced()
    return (plain if is_plain else cpu).temporal_max(x, stride)


@contextmanager
def standard_operations() -> Iterator[None]:
    """Use PyTorch's standard operations within this context, as exporters need.

    They are slower, equal and differentiable. Other threads are not affected.
    """
    before = _thread.standard
    _thread.standard = True
    try:
        yield
    finally:
        _thread.standard = before


def _traced() -> bool:
    return _thread.standard or torch.jit.is_tracing()


def _is_for_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether to compute a linear layer by oneDNN. What does not fit is left to PyTorch, which says why."""
    if _traced() or torch.compiler.is_compiling() or torch.is_autocast_enabled('cpu'):
        return False
    if x.device.type != 'cpu' or not onednn_is_faster(x.dtype):
        return False
    return x.numel() > 0 and (x.shape[-1], x.dtype) == (weight.shape[1], weight.dtype)


def _cast(x: Tensor) -> Tensor:
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def _operation(
    name: str, schema: str, kernel: Callable, cpu_kernel: Callable, fake: Callable, flops: Callable
) -> CustomOpDef:
    """Register an operation.

    Args:
        name: without the namespace.
        schema: its arguments and results.
        kernel: the kernel for any device except CPUs.
        cpu_kernel: the kernel for CPUs.
        fake: the results' shapes and types.
        flops: the operations, from the arguments' shapes; two per multiply-accumulate.
    """
    operation = custom_op(f'mmdualhead::{name}', kernel, mutates_args=(), schema=schema)
    operation.register_kernel('cpu')(cpu_kernel)
    operation.register_fake(fake)
    register_flop_formula(getattr(torch.ops.mmdualhead, name))(flops)
    return operation


def _by_library(usual: Callable, large: Callable) -> Callable:
    """A kernel for a CPU: the usual one, or that of large products, where oneDNN is faster at them."""
    return lambda *args: (large if onednn_is_faster(args[0].dtype) else usual)(*args)


def _differentiable(operation: CustomOpDef, backward: CustomOpDef) -> None:
    """Register an operation's backward pass: from the output's gradient and the inputs to their gradients.

    All outputs but the first are stored for it; it does not receive the flags.
    """

    def keep(ctx: Any, inputs: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
        made = output[1:] if isinstance(output, tuple) else ()
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)), *made)
        ctx.others = [value for value in inputs if not isinstance(value, Tensor)]
        ctx.mark_non_differentiable(*made)
        ctx.set_materialize_grads(False)

    def differentiate(ctx: Any, grad: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        numbers = [value for value in ctx.others if not isinstance(value, bool)]
        grads = _opaque(backward)(grad, *ctx.saved_tensors, *numbers)
        return *grads, *(None for _ in ctx.others)

    register_autograd(operation._qualname, differentiate, setup_context=keep)


@cache
def _opaque(operation: CustomOpDef) -> Callable:
    """An operation that compilers do not trace into, where each shape would be a separate graph.

    Made when the first gradient needs it, since it imports PyTorch's compiler.
    """
    return torch.compiler.disable(operation)


def _window_product_shape(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:  # noqa: ARG001
    windows = (x.shape[2] - 1) // stride + 1
    return x.new_empty(x.shape[0], windows, matrix.shape[0], weight.shape[1]).permute(0, 3, 1, 2)


def _mix_and_collapse_shape(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,  # noqa: ARG001
    collapse: Tensor,
    shift: Tensor,  # noqa: ARG001
) -> Tensor:
    window = collapse.shape[1] // weight.shape[0]
    return x.new_empty(*x.shape[:2], x.shape[2] // window, collapse.shape[0])


def _topology_product_shape(x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *_, keep = rest
    clips, _, frames, joints = x.shape
    kept = (clips, *weight.shape[:2], frames, joints) if keep else (0,)
    return x.new_empty(clips, frames, joints, weight.shape[1]).permute(0, 3, 1, 2), x.new_empty(kept)


def _topology_gradient_shapes(grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return _gradient_shapes(grad, *inputs[:-1])


def _gradient_shapes(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:  # noqa: ARG001
    return _shapes(torch.channels_last, inputs)


def _collapse_gradient_shapes(grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG001
    return _shapes(torch.contiguous_format, inputs)


def _shapes(memory: torch.memory_format, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    x, *parameters = (value for value in inputs if isinstance(value, Tensor))
    return torch.empty_like(x, memory_format=memory), *(
        torch.empty_like(value, memory_format=torch.contiguous_format) for value in parameters
    )


def _window_product_flops(x: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any) -> int:
    """Of the frames' mixing and of the windows' products."""
    matrix, stride = rest[1:]
    (clips, channels, frames, joints), (scales, mixed) = x, weight[:2]
    windows = (frames - 1) // stride + 1
    mixing = frames * joints * channels * scales * mixed
    return 2 * clips * (mixing + windows * matrix[0] * matrix[1] * mixed)


def _window_product_backward_flops(grad: Sequence[int], *inputs: Any, **_: Any) -> int:  # noqa: ARG001
    """Every product has two gradients, and the frames are mixed again, or, where W = 1, aggregated again."""
    x, weight, _, matrix, stride = inputs
    scales, mixed, channels = weight
    mixing = 2 * x[0] * x[2] * x[3] * channels * scales * mixed
    if matrix[0] == x[3] and stride == 1:
        return 2 * mixing + 3 * 2 * x[0] * x[2] * matrix[0] * matrix[1] * channels
    return 2 * _window_product_flops(*inputs) + mixing


def _mix_and_collapse_flops(x: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any) -> int:
    return 2 * x[0] * x[1] * x[2] * weight[0] * (weight[1] + rest[1][0])


def _mix_and_collapse_backward_flops(grad: Sequence[int], *inputs: Any, **_: Any) -> int:  # noqa: ARG001
    x, weight = inputs[:2]
    return 2 * _mix_and_collapse_flops(*inputs) + 2 * x[0] * x[1] * x[2] * weight[0] * weight[1]


def _topology_product_flops(x: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any) -> int:
    """Of the frames' mixing, of combining the topologies and of the products with them."""
    coefficients = rest[2]
    (clips, channels, frames, joints), (subsets, mixed) = x, weight[:2]
    each = frames * joints * (channels + joints) + joints * joints * coefficients[2]
    return 2 * clips * subsets * mixed * each


def _topology_product_backward_flops(grad: Sequence[int], *inputs: Any, **_: Any) -> int:  # noqa: ARG001
    """Every product has two gradients, and topologies are recomputed."""
    joints, clips, (subsets, mixed, bases) = inputs[0][3], inputs[0][0], inputs[4]
    return 2 * _topology_product_flops(*inputs) + 2 * clips * subsets * mixed * bases * joints * joints


_PRODUCT = 'Tensor x, Tensor weight, Tensor bias, Tensor matrix, int stride'
_COLLAPSE = 'Tensor x, Tensor weight, Tensor bias, Tensor collapse, Tensor shift'
_TOPOLOGY = 'Tensor x, Tensor weight, Tensor bias, Tensor bases, Tensor coefficients'

_window_product = _operation(
    'window_product',
    f'({_PRODUCT}) -> Tensor',
    batched.window_product,
    _by_library(cpu.window_product, onednn.window_product),
    _window_product_shape,
    _window_product_flops,
)
_differentiable(
    _window_product,
    _operation(
        'window_product_backward',
        f'(Tensor grad, {_PRODUCT}) -> (Tensor, Tensor, Tensor, Tensor)',
        batched.window_product_backward,
        _by_library(cpu.window_product_backward, onednn.window_product_backward),
        _gradient_shapes,
        _window_product_backward_flops,
    ),
)
_mix_and_collapse = _operation(
    'mix_and_collapse',
    f'({_COLLAPSE}) -> Tensor',
    batched.mix_and_collapse,
    cpu.mix_and_collapse,
    _mix_and_collapse_shape,
    _mix_and_collapse_flops,
)
_differentiable(
    _mix_and_collapse,
    _operation(
        'mix_and_collapse_backward',
        f'(Tensor grad, {_COLLAPSE}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)',
        batched.mix_and_collapse_backward,
        cpu.mix_and_collapse_backward,
        _collapse_gradient_shapes,
        _mix_and_collapse_backward_flops,
    ),
)
_topology_product = _operation(
    'topology_product',
    f'({_TOPOLOGY}, bool keep) -> (Tensor, Tensor)',
    batched.topology_product,
    cpu.topology_product,
    _topology_product_shape,
    _topology_product_flops,
)
_differentiable(
    _topology_product,
    _operation(
        'topology_product_backward',
        f'(Tensor grad, {_TOPOLOGY}, Tensor mixed) -> (Tensor, Tensor, Tensor, Tensor, Tensor)',
        batched.topology_product_backward,
        cpu.topology_product_backward,
        _topology_gradient_shapes,
        _topology_product_backward_flops,
    ),
)

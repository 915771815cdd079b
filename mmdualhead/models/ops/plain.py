"""The operations in PyTorch's standard ones, for tracers and exporters, which cannot see inside a kernel.

N clips times persons, T frames, V joints, K scales or subsets, W frames in a window, C input and D output
channels, F channels inside the windows.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    """Frames are mixed, then gathered by a convolution over time whose channels are (joint, scale) in and
    (joint, place in the window) out. Arguments and result are those of
    :func:`~mmdualhead.models.ops.window_product`.
    """
    scales, mixed, _ = weight.shape
    rows = x.shape[3] * scales
    weight, bias, matrix = weight.to(x), bias.to(x), matrix.to(x)
    frames = F.linear(x.permute(0, 2, 3, 1), weight.flatten(0, 1)).unflatten(3, (scales, mixed))
    kernel = matrix.unflatten(1, (-1, rows)).transpose(1, 2).unsqueeze(3)
    pad = (kernel.shape[2] - 1) // 2
    windows = F.conv2d(
        frames.permute(0, 2, 3, 1, 4).flatten(1, 2), kernel, stride=(stride, 1), padding=(pad, 0)
    )
    return (windows.transpose(1, 2) + bias).permute(0, 3, 1, 2)


def mix_and_collapse(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor) -> Tensor:
    """Arguments and result are :func:`~mmdualhead.models.ops.mix_and_collapse`'s."""
    window = collapse.shape[1] // weight.shape[0]
    weight, bias, collapse, shift = (t.to(x) for t in (weight, bias, collapse, shift))
    features = F.linear(x, weight, bias).relu_()
    return F.linear(features.unflatten(2, (-1, window)).flatten(3), collapse, shift)


def topology_product(x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    """Arguments and result are :func:`~mmdualhead.models.ops.topology_product`'s."""
    weight, bias, bases, coefficients = (t.to(x) for t in (weight, bias, bases, coefficients))
    joints = bases.shape[3]
    mixed = F.conv2d(x, weight.flatten(0, 1)[:, :, None, None], bias.flatten()).unflatten(1, weight.shape[:2])
    topologies = (coefficients @ bases.flatten(3)).unflatten(3, (joints, joints))
    return (mixed @ topologies.transpose(3, 4)).sum(1)


def temporal_max(x: Tensor, stride: int) -> Tensor:
    """Arguments and result are :func:`~mmdualhead.models.ops.temporal_max_pool`'s."""
    return F.max_pool2d(x, (3, 1), (stride, 1), (1, 0))


def stretch(mask: Tensor, x: Tensor) -> Tensor:
    """Arguments and result are :func:`~mmdualhead.models.ops.stretch`'s.

    Frames are counted by adding up ones, because exporters treat sizes that are read as constants.
    """
    ones, ones_of_mask = x[0, 0, :, 0] * 0 + 1, mask[0, 0] * 0 + 1
    index = (ones.cumsum(0) - 1) * (ones_of_mask.sum() / ones.sum())
    return mask.index_select(2, index.long())

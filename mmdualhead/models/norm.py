"""Batch norm by moments: the effect of a batch norm on a linear map, without materializing the map's output.

C input and D output channels.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .ops import linear


def normalized_mixing(
    x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d | nn.SyncBatchNorm
) -> tuple[Tensor, Tensor]:
    r"""A linear map of channels and the batch norm after it, as one linear map.

    With the mean m and the covariance S of its inputs, the map W x + b has the mean W m + b and the variances
    diag(W S W'), so the output need not be materialized to be normalized:

    .. math:: BN(W x + b) = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (W x + b - \mu) + \beta

    Args:
        x: (..., C).
        weight: W, (D, C).
        bias: b, (D,).
        norm: in training its running statistics are updated as if it had been called.

    Returns:
        The weight and the bias of the one map.

    Raises:
        TypeError: the norm is not one of PyTorch's; mmcv's (``sync_bn='mmcv'``) would not be synchronized.
    """
    if not isinstance(norm, _BatchNorm):
        raise TypeError(
            f"cannot synchronize {type(norm)}; the network needs PyTorch's norms: sync_bn='torch'"
        )
    mean, variance = norm.running_mean, norm.running_var
    if norm.training:
        with torch.autocast(x.device.type, enabled=False):
            mean, variance, count = _moments(x, weight, bias, norm)
            _track(norm, mean.detach(), variance.detach() * count / (count - 1))
    scale, shift = affine(norm, mean, variance)
    return weight * scale[:, None], bias * scale + shift


def affine(norm: nn.Module, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift that a batch norm applies to values of this mean and variance."""
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - mean * scale


def _moments(x: Tensor, weight: Tensor, bias: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variances of W x + b over the batch, each (D,), and the number of values."""
    exact = torch.promote_types(weight.dtype, torch.float32)
    rows = x.flatten(0, -2).to(exact)
    count = _over_workers(rows.new_tensor(len(rows)), norm)
    center = _over_workers(rows.sum(0), norm) / count
    columns = (rows - center).t()
    covariance = _over_workers(linear(columns, columns), norm) / count
    weight = weight.to(exact)
    return weight @ center + bias, ((weight @ covariance) * weight).sum(1), count


def _over_workers(total: Tensor, norm: nn.Module) -> Tensor:
    """The sum over the processes that a norm synchronizes."""
    if not (isinstance(norm, nn.SyncBatchNorm) and dist.is_available() and dist.is_initialized()):
        return total
    from torch.distributed.nn.functional import all_reduce  # missing where torch was built without it

    return all_reduce(total, group=norm.process_group)


def _track(norm: nn.BatchNorm2d | nn.SyncBatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update a norm's running statistics with those of a batch."""
    norm.num_batches_tracked.add_(1)
    rate = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
    norm.running_mean.add_(rate * (mean - norm.running_mean))
    norm.running_var.add_(rate * (variance - norm.running_var))

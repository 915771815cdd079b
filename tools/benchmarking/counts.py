"""Counted costs of a network: the same numbers on every machine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_macs(call: Callable[[], object]) -> int:
    """Multiply-accumulates of all convolutions and matrix products, however they are written.

    Linear layers, ``einsum``, ``matmul`` and products in custom autograd functions end up in the same few
    kernels, and those are counted; padding counts, additions and activations do not. PyTorch reports FLOPs,
    two per MAC.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def count_saved_bytes(call: Callable[[], Tensor], network: nn.Module) -> int:
    """Bytes that autograd keeps between the forward and the backward pass.

    Every storage counts once and completely, even if only a view of it is saved; the network's parameters and
    buffers, which exist anyway, do not.

    Args:
        call: the forward pass.
        network: its parameters and buffers are not counted.
    """
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = call()
    own = {_address(tensor) for tensor in (*network.parameters(), *network.buffers())}
    storages = {_address(tensor): tensor.untyped_storage().nbytes() for tensor in saved}
    del result
    return sum(size for address, size in storages.items() if address not in own)


def _address(tensor: Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr()

"""The inference form of a trained network: batch norms folded, adjacency fixed, branches merged, empty
bodies skipped.

N clips, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.models import RecognizerGCN
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmdualhead.models.backbone import Network, STGCBackbone, every_body
from mmdualhead.models.block import STGCBlock
from mmdualhead.models.layers import (
    MSG3D,
    MSTCN,
    GraphConv,
    NarrowGraphConv,
    NarrowMSG3D,
    gather_windows,
    graph_product,
    temporal_max_pool,
)
from mmdualhead.models.norm import affine
from mmdualhead.models.recognizer import DualHeadRecognizer

MAX_CACHED_LENGTHS = 8


def can_fuse(model: nn.Module) -> bool:
    """Whether :func:`fuse` knows the model."""
    known = isinstance(model, DualHeadRecognizer | RecognizerGCN)
    return known and isinstance(model.backbone, STGCBackbone)


@torch.no_grad()
def fuse(model: nn.Module) -> nn.Module:
    """Turn a trained recognizer into its inference form, which answers the same, faster.

    Args:
        model: a :class:`DualHeadRecognizer`, or a ``RecognizerGCN`` over :class:`STGCBackbone`. It stays as
            it is.

    Returns:
        A recognizer for ``mode='tensor'`` and ``mode='predict'``. It speaks for the weights that the model
        has now: once they change, or when it is asked to train, it raises a RuntimeError instead of giving
        stale answers.

    Raises:
        TypeError: the model has no inference form.
    """
    if not can_fuse(model):
        raise TypeError(
            f'{type(model).__name__} has no inference form; fuse() takes a DualHeadRecognizer, '
            'or a RecognizerGCN over STGCBackbone'
        )
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(fused.modules()):
        for name, child in module.named_children():
            if isinstance(child, STGCBlock):
                module.register_module(name, FusedBlock(child))
    fused.backbone.over_bodies = SkipEmptyBodies()
    fused.register_forward_pre_hook(_Guard(model), with_kwargs=True)
    return fused


class _Guard:
    """Refuses to run a fused model that no longer speaks for its source."""

    def __init__(self, source: nn.Module) -> None:
        self._tensors = tuple(source.state_dict(keep_vars=True).values())
        self._state = self._read()

    def __deepcopy__(self, memo: dict) -> _Guard:
        return self

    def _read(self) -> list[tuple[int, int]]:
        return [(tensor.data_ptr(), tensor._version) for tensor in self._tensors]

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if module.training or 'loss' in (kwargs.get('mode'), *args[2:]):
            raise RuntimeError('a fused model is for inference; train the model that it was made from')
        if self._read() != self._state:
            raise RuntimeError('the weights have changed since fuse(); call fuse() on the model again')


class SkipEmptyBodies:
    """Runs a network on the bodies that are there.

    What comes out for an empty one (zeros in all frames: most NTU clips have one person) depends on its
    place among the persons and on T alone, so it is computed once and kept.
    """

    def __init__(self) -> None:
        self._empty: dict[tuple, tuple[Tensor, ...]] = {}

    def __deepcopy__(self, memo: dict) -> SkipEmptyBodies:
        return SkipEmptyBodies()

    def __call__(self, x: Tensor, normalize: Network, network: Network) -> tuple[Tensor, ...]:
        there = x.ne(0).flatten(2).any(2)
        if there.all():
            return every_body(x, normalize, network)
        empty = self._empty_maps(x, normalize, network)
        maps = tuple(kept.expand(len(x), *kept.shape[1:]).contiguous() for kept in empty)
        if there.any():
            for target, values in zip(maps, network(normalize(x)[there.flatten()]), strict=True):
                target[there] = values.to(target.dtype)
        return maps

    def _empty_maps(self, x: Tensor, normalize: Network, network: Network) -> tuple[Tensor, ...]:
        """The maps of a clip without persons, each (1, M, C, T, V)."""
        key = (x.shape[1:], x.dtype, x.device, torch.is_autocast_enabled(x.device.type))
        if key not in self._empty:
            if len(self._empty) == MAX_CACHED_LENGTHS:
                self._empty.clear()
            self._empty[key] = every_body(torch.zeros_like(x[:1]), normalize, network)
        return self._empty[key]


class FusedBlock(nn.Module):
    """An STGC block in eval mode (:class:`~mmdualhead.models.block.STGCBlock`)."""

    def __init__(self, block: STGCBlock) -> None:
        super().__init__()
        first, *rest = block.factorized
        self.factorized = nn.Sequential(_fuse_graph_conv(first.conv, first.norm), *map(FusedTCN, rest))
        self.windowed = nn.ModuleList(map(_fuse_g3d, block.windowed))
        self.fuse_paths = FusedTCN(block.fuse_paths)

    def forward(self, x: Tensor) -> Tensor:
        y = self.factorized(x)
        for pathway in self.windowed:
            y += pathway(x)
        return self.fuse_paths(y.relu_())


class FusedGraphConv(nn.Module):
    """Graph convolution, batch norm and ReLU: A + A_res fixed, the norm folded into the mixing."""

    def __init__(self, conv: GraphConv, norm: _BatchNorm) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        self.stride = conv.stride
        self.register_buffer('weight', conv.weight * scale[:, None])
        self.register_buffer('bias', conv.bias * scale + shift)
        self.register_buffer('matrix', conv.matrix())

    def forward(self, x: Tensor) -> Tensor:
        return graph_product(x, self.weight, self.bias, self.matrix, self.stride).relu_()


class FusedNarrowGraphConv(nn.Module):
    """The same where the graph comes first."""

    def __init__(self, conv: NarrowGraphConv, norm: _BatchNorm) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        self.window, self.stride = conv.window, conv.stride
        self.register_buffer('mixing', conv.mixing() * scale[:, None, None, None])
        self.register_buffer('bias', conv.bias * scale + shift)
        self.register_buffer('matrix', conv.matrix())

    def gather(self, x: Tensor) -> Tensor:
        return gather_windows(x, self.matrix, self.window, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.gather(x), self.mixing, self.bias).relu_()


class FusedNarrowG3D(nn.Module):
    """A pathway of the first block, whose last norm is folded into the collapse."""

    def __init__(self, pathway: NarrowMSG3D) -> None:
        super().__init__()
        self.conv = FusedNarrowGraphConv(pathway.conv, pathway.norm)
        self.collapse = fuse_conv_bn_eval(pathway.collapse, pathway.out_norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.collapse.after_mixing(self.conv.gather(x), self.conv.mixing, self.conv.bias)


class FusedTCN(nn.Module):
    """MS-TCN: norms folded into convolutions, the plain branch merged with a projected residual.

    Where the residual is the identity, the input is overwritten with the sum; a block has no more use for it.
    """

    def __init__(self, tcn: MSTCN) -> None:
        super().__init__()
        self.width, self.stride = tcn.width, tcn.stride
        self.reduce = fuse_conv_bn_eval(tcn.reduce, tcn.reduce_norm)
        parts = [part.split(tcn.width) for part in _affine(tcn.norm)]
        *scales, pool_scale, plain_scale = parts[0]
        *shifts, pool_shift, plain_shift = parts[1]
        folded = zip(tcn.dilated, scales, shifts, strict=True)
        self.dilated = nn.ModuleList(_scaled(conv, scale, shift) for conv, scale, shift in folded)
        self.register_buffer('pool_scale', pool_scale[:, None, None])
        self.register_buffer('pool_shift', pool_shift[:, None, None])
        self.rest = _merge_rest(tcn.shortcut, _scaled(tcn.plain, plain_scale, plain_shift))
        self.activation = tcn.activation

    def forward(self, x: Tensor) -> Tensor:
        *convolved, pooled = self.reduce(x).relu_().split(self.width, 1)
        y = self.rest(x[:, :, :: self.stride])
        *slots, pool_slot, _ = y.split(self.width, 1)
        for slot, conv, part in zip(slots, self.dilated, convolved, strict=True):
            slot += conv(part)
        pool_slot += temporal_max_pool(pooled, self.stride) * self.pool_scale + self.pool_shift
        return self.activation(y)


class _IdentityAndPlain(nn.Module):
    """A residual connection, with the plain branch added to its last channels in place."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        x[:, -self.plain.out_channels :] += self.plain(x)
        return x


def _merge_rest(shortcut: nn.Module, plain: nn.Conv2d) -> nn.Module:
    """The residual connection plus the plain branch, both linear in the remaining frames."""
    if isinstance(shortcut, nn.Identity):
        return _IdentityAndPlain(plain)
    merged = fuse_conv_bn_eval(*shortcut)
    merged.weight[-plain.out_channels :] += plain.weight
    merged.bias[-plain.out_channels :] += plain.bias
    return merged


def _fuse_graph_conv(conv: GraphConv, norm: _BatchNorm) -> nn.Module:
    fused = FusedNarrowGraphConv if isinstance(conv, NarrowGraphConv) else FusedGraphConv
    return fused(conv, norm)


def _fuse_g3d(pathway: MSG3D) -> nn.Module:
    if isinstance(pathway, NarrowMSG3D):
        return FusedNarrowG3D(pathway)
    collapse = fuse_conv_bn_eval(pathway.collapse, pathway.out_norm)
    return nn.Sequential(FusedGraphConv(pathway.conv, pathway.norm), collapse)


def _affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift that a batch norm applies in eval mode."""
    return affine(norm, norm.running_mean, norm.running_var)


def _scaled(conv: nn.Conv2d, scale: Tensor, shift: Tensor) -> nn.Conv2d:
    """The convolution followed by scale and shift of its output channels."""
    scaled = copy.deepcopy(conv)
    scaled.weight.mul_(scale[:, None, None, None])
    scaled.bias.mul_(scale).add_(shift)
    return scaled

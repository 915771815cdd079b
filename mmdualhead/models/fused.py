"""The fused model of a trained network: batch norms folded, adjacency fixed, branches merged, empty persons
skipped.

N clips, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from mmaction.models import RecognizerGCN
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmdualhead.models.backbone import STGCBackbone
from mmdualhead.models.block import STGCBlock
from mmdualhead.models.ctrgc import CTRGC, CTRGCBlock
from mmdualhead.models.layers import (
    MSG3D,
    MSTCN,
    GraphConv,
    NarrowGraphConv,
    NarrowMSG3D,
    PointwiseConv,
    TemporalBranches,
    gather_windows,
    mix,
    subsample,
)
from mmdualhead.models.norm import affine
from mmdualhead.models.ops import temporal_max_pool, topology_product, window_product
from mmdualhead.models.recognizer import DualHeadRecognizer
from mmdualhead.utils.memory import keep_freed_memory

HALF = (torch.bfloat16, torch.float16)

MAX_CACHED_LENGTHS = 8


def can_fuse(model: nn.Module) -> bool:
    """Whether :func:`fuse` supports the model."""
    known = isinstance(model, DualHeadRecognizer | RecognizerGCN)
    return known and isinstance(model.backbone, STGCBackbone)


@torch.no_grad()
def fuse(model: nn.Module, dtype: torch.dtype | None = None) -> FusedRecognizer:
    """Make a fused model of a trained recognizer, which gives the same results faster.

    In half precision, results are rounded: the weights of blocks and attentions are stored in it and features
    are computed in it, by products that sum in single precision; the norm of the input and the classifiers
    stay in single precision. Some processors are slow at it: :func:`~mmdualhead.utils.half.slow_half`.

    Args:
        model: a :class:`DualHeadRecognizer`, or a ``RecognizerGCN`` over :class:`STGCBackbone`. It is not
            modified. Blocks of other classes than :class:`STGCBlock` and :class:`CTRGCBlock` are kept as they
            are.
        dtype: ``torch.bfloat16`` or, on a GPU, ``torch.float16``; None keeps the type of the weights.

    Returns:
        A recognizer for ``mode='tensor'`` and ``mode='predict'``. It holds the weights that the model has
        now: once they change, or in training, it raises a RuntimeError instead of returning
        stale results.

    Raises:
        TypeError: the model can't be fused.
        ValueError: ``dtype`` is another one.
    """
    if dtype not in (None, *HALF):
        raise ValueError(f'dtype is {dtype}, expected one of {HALF}')
    if not can_fuse(model):
        raise TypeError(
            f'{type(model).__name__} cannot be fused; fuse() supports a DualHeadRecognizer, '
            'or a RecognizerGCN over STGCBackbone'
        )
    folded = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(folded.modules()):
        for name, child in module.named_children():
            if fused := FUSED_BLOCKS.get(type(child)):  # not a subclass, which may compute something else
                module.register_module(name, fused(child))
    if dtype is not None:
        _convert(folded, dtype)
    keep_freed_memory()
    fused_model = FusedRecognizer(folded, _Weights(model), dtype).eval()
    if hasattr(model, 'cfg'):  # which MMAction2's inference_recognizer reads
        fused_model.cfg = model.cfg
    return fused_model


def _convert(recognizer: nn.Module, dtype: torch.dtype) -> None:
    """Convert blocks, heads and attentions, but not batch norms, whose statistics need more digits."""
    parts = [recognizer.backbone.blocks]
    parts += [getattr(recognizer, name) for name in ('heads', 'attentions') if hasattr(recognizer, name)]
    for part in parts:
        for module in part.to(dtype).modules():
            if isinstance(module, _BatchNorm):
                module.float()


class FusedRecognizer(BaseModel):
    """A recognizer with folded layers that skips absent persons.

    The output for an empty person (zeros in all frames; most NTU clips have one person) depends only on its
    place among the persons and on T, so it is computed once and cached.

    Under ``torch.compile`` and ``torch.export`` all persons are computed, since a graph without branches
    cannot skip any, and changed weights are not detected.

    Args:
        recognizer: in eval mode, its layers folded.
        weights: those of the model that it was made from.
        dtype: of its blocks; None for that of their input.
    """

    def __init__(self, recognizer: nn.Module, weights: _Weights, dtype: torch.dtype | None = None) -> None:
        super().__init__(data_preprocessor=recognizer.data_preprocessor)
        self.dtype = dtype
        self.recognizer = recognizer
        self._weights = weights
        self._empty: dict[tuple, dict[str, Tensor]] = {}

    def forward(
        self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor', stage: str | None = None
    ) -> Any:
        """See MMAction2's ``BaseRecognizer``; stages are those of the recognizer, and so is the default.

        Raises:
            RuntimeError: it is used for training, or the model that it was made from has changed since.
        """
        if self.training or mode == 'loss':
            raise RuntimeError('a fused model is for inference; train the model that it was made from')
        if mode == 'predict':
            return self.recognizer.cls_head.predict(self.extract_feat(inputs)[0], data_samples)
        if isinstance(self.recognizer, DualHeadRecognizer):
            return self.extract_feat(inputs, stage or 'head')
        return self.extract_feat(inputs, stage)[0]

    @property
    def is_outdated(self) -> bool:
        """Whether the weights of the model that it was made from have changed."""
        return self._weights.have_changed()

    def extract_feat(
        self,
        inputs: Tensor,
        stage: str | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Any, dict]:
        """See the recognizer's. Defaults to the input of its classifier.

        Args:
            inputs: (N, S, M, T, V, C).
            stage: that of the recognizer.
        """
        if not torch.compiler.is_compiling() and self.is_outdated:
            raise RuntimeError('the weights have changed since fuse(); call fuse() on the model again')
        x = inputs.flatten(0, 1)
        is_dual = isinstance(self.recognizer, DualHeadRecognizer)
        if is_dual and stage == 'backbone':
            persons = self.recognizer.backbone.normalize(x)
            base = self.recognizer.backbone.blocks(persons if self.dtype is None else persons.to(self.dtype))
            return base.to(persons.dtype).unflatten(0, x.shape[:2]), {}
        features = self._clip_features(x)
        taken = features if is_dual else features['']
        return (self.recognizer.cls_head(taken) if stage == 'head' else taken), {}

    def _clip_features(self, x: Tensor) -> dict[str, Tensor]:
        """(N, M, T, V, C) -> (N, M, C, T, V) for each head."""
        present = x.ne(0).flatten(2).any(2)
        if torch.compiler.is_compiling() or present.all() or not present.any():
            return self._all_persons(x)
        empty = self._empty_clip(x)
        maps = {head: kept.expand(len(x), *kept.shape[1:]).contiguous() for head, kept in empty.items()}
        persons = self.recognizer.backbone.normalize(x)[present.flatten()]
        for head, values in self.person_features(persons).items():
            maps[head][present] = values.to(maps[head].dtype)
        return maps

    def _all_persons(self, x: Tensor) -> dict[str, Tensor]:
        features = self.person_features(self.recognizer.backbone.normalize(x))
        return {head: maps.unflatten(0, x.shape[:2]) for head, maps in features.items()}

    def person_features(self, persons: Tensor) -> dict[str, Tensor]:
        """Of normalized persons (N * M, C, T, V), such maps for each head; MS-G3D has one without a name."""
        x = persons if self.dtype is None else persons.to(self.dtype)
        if isinstance(self.recognizer, DualHeadRecognizer):
            features = self.recognizer.person_features(x)
        else:
            features = {'': self.recognizer.backbone.blocks(x)}
        return {head: maps.to(persons.dtype) for head, maps in features.items()}

    def _empty_clip(self, x: Tensor) -> dict[str, Tensor]:
        """The maps of a clip without persons, (1, M, C, T, V)."""
        key = (x.shape[1:], x.dtype, x.device, torch.is_autocast_enabled(x.device.type))
        empty = self._empty.get(key)
        if empty is None:
            empty = self._all_persons(torch.zeros_like(x[:1]))
            if len(self._empty) >= MAX_CACHED_LENGTHS:
                self._empty.clear()
            self._empty[key] = empty  # which another thread may clear
        return empty


class _Weights:
    """The weights and statistics of a model, and whether they have changed."""

    def __init__(self, model: nn.Module) -> None:
        self._tensors = tuple(model.state_dict(keep_vars=True).values())
        self._state = self._read()

    def __deepcopy__(self, memo: dict) -> _Weights:
        return self

    def _read(self) -> list[tuple[int, int]]:
        return [(tensor.data_ptr(), tensor._version) for tensor in self._tensors]

    def have_changed(self) -> bool:
        return self._read() != self._state


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
        return window_product(x, self.weight, self.bias, self.matrix, self.stride).relu_()


class FusedNarrowGraphConv(nn.Module):
    """The same with aggregation before mixing."""

    def __init__(self, conv: NarrowGraphConv, norm: _BatchNorm) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        self.window, self.stride = conv.window, conv.stride
        self.register_buffer('mixing', conv.mixing() * scale[:, None])
        self.register_buffer('bias', conv.bias * scale + shift)
        self.register_buffer('matrix', conv.matrix())

    def gather(self, x: Tensor) -> Tensor:
        return gather_windows(x, self.matrix, self.window, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return mix(self.gather(x), self.mixing, self.bias).relu_()


class FusedNarrowG3D(nn.Module):
    """A pathway of the first block, whose last norm is folded into the collapse."""

    def __init__(self, pathway: NarrowMSG3D) -> None:
        super().__init__()
        self.conv = FusedNarrowGraphConv(pathway.conv, pathway.norm)
        self.collapse = fuse_conv_bn_eval(pathway.collapse, pathway.out_norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.collapse.after_mixing(self.conv.gather(x), self.conv.mixing, self.conv.bias)


class FusedBranches(nn.Module):
    """The branches of MS-TCN, norms folded into convolutions.

    Args:
        branches: the layer.
        plain: its plain branch, unless it is part of another convolution.
    """

    def __init__(self, branches: TemporalBranches, plain: nn.Conv2d | None) -> None:
        super().__init__()
        self.width, self.stride = branches.width, branches.stride
        reduce = fuse_conv_bn_eval(branches.reduce, branches.reduce_norm)
        self.both = None
        if plain is not None and self.stride == 1:  # then they have the same input
            self.both = (reduce.out_channels, plain.out_channels)
            reduce, plain = _side_by_side(reduce, plain), None
        self.reduce, self.plain = reduce, plain
        parts = [part.split(branches.width) for part in _affine(branches.norm)]
        *scales, pool_scale, _ = parts[0]
        *shifts, pool_shift, _ = parts[1]
        folded = zip(branches.dilated, scales, shifts, strict=True)
        self.dilated = nn.ModuleList(_scaled(conv, scale, shift) for conv, scale, shift in folded)
        self.register_buffer('pool_scale', pool_scale[:, None, None])
        self.register_buffer('pool_shift', pool_shift[:, None, None])

    def parts(self, x: Tensor, strided: Tensor) -> Iterator[Tensor]:
        """The branches."""
        reduced, plain = self.reduce(x), [self.plain(strided)] if self.plain else []
        if self.both:
            reduced, *plain = reduced.split(self.both, 1)
        *convolved, pooled = reduced.relu().split(self.width, 1)
        pooled = temporal_max_pool(pooled, self.stride) * self.pool_scale + self.pool_shift
        branches = (conv(part) for conv, part in zip(self.dilated, convolved, strict=True))
        return chain(branches, [pooled], plain)


class FusedTCN(FusedBranches):
    """MS-TCN: the plain branch is merged with a projected residual."""

    def __init__(self, tcn: MSTCN) -> None:
        plain = _plain_branch(tcn)
        is_projected = isinstance(tcn.shortcut, nn.Sequential)
        super().__init__(tcn, None if is_projected else plain)
        self.is_merged = is_projected
        self.rest = _merged(tcn.shortcut, plain) if is_projected else tcn.shortcut
        self.activation = tcn.activation

    def forward(self, x: Tensor) -> Tensor:
        strided = subsample(x, self.stride)
        parts = [*self.parts(x, strided)]
        if self.is_merged:  # added as a whole, since half precision is slow to add to some of the channels
            parts.append(0 * parts[-1])  # not zeros_like, whose size exporters treat as a constant
        return self.activation(torch.cat(parts, 1).add_(self.rest(strided)))


class FusedCTRGC(nn.Module):
    """CTR-GC: the norm is folded into the mixing and the residual connection."""

    def __init__(self, layer: CTRGC) -> None:
        super().__init__()
        scale, shift = _affine(layer.norm)
        self.topology = layer.topology
        self.register_buffer('weight', layer.weight * scale[:, None])
        self.register_buffer('bias', layer.bias * scale)
        self.shortcut = _fuse_shortcut(layer.shortcut)
        if isinstance(self.shortcut, nn.Conv2d):
            self.shortcut.bias += shift
            shift = None
        self.register_buffer('shift', None if shift is None else shift[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        z = topology_product(x, self.weight, self.bias, *self.topology(x))
        z += self.shortcut(x)
        return (z if self.shift is None else z.add_(self.shift)).relu_()


class FusedCTRGCBlock(nn.Module):
    """A block of CTR-GCN in eval mode (:class:`~mmdualhead.models.ctrgc.CTRGCBlock`)."""

    def __init__(self, block: CTRGCBlock) -> None:
        super().__init__()
        self.stride = block.stride
        self.spatial = FusedCTRGC(block.spatial)
        self.temporal = FusedBranches(block.temporal, _plain_branch(block.temporal))
        self.shortcut = None if block.shortcut is None else _fuse_shortcut(block.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y = self.spatial(x)
        y = torch.cat([*self.temporal.parts(y, subsample(y, self.stride))], 1)
        if self.shortcut is not None:
            y += self.shortcut(subsample(x, self.stride))
        return y.relu_()


FUSED_BLOCKS: dict[type[nn.Module], type[nn.Module]] = {STGCBlock: FusedBlock, CTRGCBlock: FusedCTRGCBlock}


def _fuse_shortcut(shortcut: nn.Module) -> nn.Module:
    return fuse_conv_bn_eval(*shortcut) if isinstance(shortcut, nn.Sequential) else shortcut


def _merged(shortcut: nn.Sequential, plain: nn.Conv2d) -> nn.Conv2d:
    """The residual connection plus the plain branch, both linear in the remaining frames."""
    merged = fuse_conv_bn_eval(*shortcut)
    merged.weight[-plain.out_channels :] += plain.weight
    merged.bias[-plain.out_channels :] += plain.bias
    return merged


def _plain_branch(branches: TemporalBranches) -> nn.Conv2d:
    scale, shift = (part[-branches.width :] for part in _affine(branches.norm))
    return _scaled(branches.plain, scale, shift)


def _side_by_side(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """Two 1x1 convolutions of one input as one, which is faster where the second has few outputs."""
    both = PointwiseConv(first.in_channels, first.out_channels + second.out_channels)
    both.weight.data = torch.cat([first.weight, second.weight])
    both.bias.data = torch.cat([first.bias, second.bias])
    return both.requires_grad_(False)


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

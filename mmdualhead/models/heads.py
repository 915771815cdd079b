"""The coarse and the fine head: two temporal resolutions of one motion, eqs. (4) to (7).

N clips times persons, C channels, T frames, V joints. A head is a stem, which makes its input from the
backbone's features, and its blocks, which the recognizer interleaves with those of the other heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .block import FINE_DILATIONS, FINE_WINDOWS, STGC_BLOCK, build_graph
from .build import build_block, require_counts
from .layers import PointwiseConv, subsample

HEAD_CHANNELS = (192, 384)
HEAD_STRIDES = (2, 2)
COARSE_WINDOWS = (3,)
COARSE_DILATIONS = (1, 2)


class Subsample(nn.Module):
    """Every ``rate``-th frame, eq. (4): (N, C, T, V) -> (N, C, ceil(T / rate), V)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        require_counts('Subsample', rate=rate)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return subsample(x, self.rate)

    def extra_repr(self) -> str:
        return f'rate={self.rate}'


class Head(BaseModule):
    """A stem and a row of blocks; a custom head subclasses this.

    ``entry_channels`` and ``out_channels`` list the channels at the entry and at the end of each block.

    Args:
        stem: makes the head's input from the backbone's features.
        channels: at the entry of the first block, then at the end of each.
        strides: temporal stride of each block.
        graph_cfg: the graph, or the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        block: config of the blocks.
        init_cfg: see mmengine's ``BaseModule``.
        offered: arguments of blocks that name them (:func:`~mmdualhead.models.build.build_part`).

    Raises:
        UserError: channels and strides differ in number, or one is not an integer of at least 1.
    """

    def __init__(
        self,
        stem: nn.Module,
        channels: Sequence[int],
        strides: Sequence[int],
        graph_cfg: Mapping[str, Any],
        block: Mapping[str, Any],
        init_cfg: Mapping[str, Any] | None = None,
        **offered: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        require_counts(type(self).__name__, channels=channels, strides=strides)
        self.stem = stem
        self.entry_channels = tuple(channels[:-1])
        self.out_channels = tuple(channels[1:])
        graph = build_graph(graph_cfg)
        if len(strides) != len(self.out_channels):
            raise UserError(
                f'{type(self).__name__}: {len(self.out_channels)} channels {self.out_channels}, '
                f'{len(strides)} strides {tuple(strides)}'
            )
        places = zip(self.entry_channels, self.out_channels, strides, strict=True)
        self.blocks = nn.ModuleList(
            build_block(block, in_channels=entry, out_channels=out, stride=stride, graph=graph, **offered)
            for entry, out, stride in places
        )

    def forward(self, x: Tensor) -> Tensor:
        """The head alone, without attention."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


@MODELS.register_module()
class CoarseHead(Head):
    """Few frames, many channels: the motion of the whole body, eqs. (4), (5).

    Args:
        in_channels: C, the backbone's.
        graph_cfg: the graph, or the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        channels, strides: of each block.
        subsample: r, keeps every r-th frame (1, 2 and 4 in the paper's ablation).
        windows: frames in the window of each G3D pathway ((), (3,) and (3, 5) in the paper's ablation).
        dilations: of the MS-TCN branches.
        block: config of the blocks, :class:`~mmdualhead.models.block.STGCBlock` by default.
        recompute: see :class:`~mmdualhead.models.block.STGCBlock`.
        init_cfg: see mmengine's ``BaseModule``.

    Shape:
        (N, C, T, V) -> (N, channels[-1], T', V).
    """

    def __init__(
        self,
        in_channels: int,
        graph_cfg: Mapping[str, Any],
        channels: Sequence[int] = HEAD_CHANNELS,
        strides: Sequence[int] = HEAD_STRIDES,
        subsample: int = 2,
        windows: Sequence[int] = COARSE_WINDOWS,
        dilations: Sequence[int] = COARSE_DILATIONS,
        block: Mapping[str, Any] = STGC_BLOCK,
        recompute: bool = False,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            Subsample(subsample),
            (in_channels, *channels),
            strides,
            graph_cfg,
            block,
            init_cfg,
            windows=windows,
            dilations=dilations,
            recompute=recompute,
        )


@MODELS.register_module()
class FineHead(Head):
    """All frames, few channels: small, quick movements, eqs. (6), (7).

    Args:
        in_channels: C, the backbone's.
        graph_cfg: the graph, or the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        channels, strides: of each block; channels before the reduction.
        reduction: divides all channels of the head (1, 2 and 4 in the paper's ablation).
        windows: frames in the window of each G3D pathway.
        dilations: of the MS-TCN branches.
        block: config of the blocks, :class:`~mmdualhead.models.block.STGCBlock` by default.
        recompute: see :class:`~mmdualhead.models.block.STGCBlock`.
        init_cfg: see mmengine's ``BaseModule``.

    Shape:
        (N, C, T, V) -> (N, channels[-1] / reduction, T', V).

    Raises:
        UserError: the reduction does not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        graph_cfg: Mapping[str, Any],
        channels: Sequence[int] = HEAD_CHANNELS,
        strides: Sequence[int] = HEAD_STRIDES,
        reduction: int = 2,
        windows: Sequence[int] = FINE_WINDOWS,
        dilations: Sequence[int] = FINE_DILATIONS,
        block: Mapping[str, Any] = STGC_BLOCK,
        recompute: bool = False,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        require_counts('FineHead', reduction=reduction)
        widths = (in_channels, *channels)
        if any(width % reduction for width in widths):
            raise UserError(f'FineHead: reduction {reduction} does not divide the channels {widths}')
        reduced = tuple(width // reduction for width in widths)
        super().__init__(
            PointwiseConv(in_channels, reduced[0]),
            reduced,
            strides,
            graph_cfg,
            block,
            init_cfg,
            windows=windows,
            dilations=dilations,
            recompute=recompute,
        )

"""The coarse and the fine head: two temporal resolutions of one motion, eqs. (4) to (7).

N clips times persons, C channels, T frames, V joints. A head is a stem, which makes its input from the
backbone's features, and its STGC blocks, which the recognizer interleaves with those of the other head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .block import FINE_DILATIONS, FINE_WINDOWS, SkeletonGraph, STGCBlock

HEAD_CHANNELS = (192, 384)
HEAD_STRIDES = (2, 2)
COARSE_WINDOWS = (3,)
COARSE_DILATIONS = (1, 2)


class Subsample(nn.Module):
    """Every ``rate``-th frame, eq. (4): (N, C, T, V) -> (N, C, ceil(T / rate), V)."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.rate]

    def extra_repr(self) -> str:
        return f'rate={self.rate}'


class _Head(BaseModule):
    """A stem and a row of STGC blocks.

    ``entry_channels`` and ``out_channels`` list the channels at the entry and at the end of each block.
    """

    def __init__(self, stem: nn.Module, channels: Sequence[int], init_cfg: Any, **block: Any) -> None:
        super().__init__(init_cfg=init_cfg)
        self.stem = stem
        self.entry_channels = tuple(channels[:-1])
        self.out_channels = tuple(channels[1:])
        strides = block.pop('strides')
        graph = SkeletonGraph(**block.pop('graph_cfg'))
        if len(strides) != len(self.out_channels):
            raise ValueError(
                f'{type(self).__name__}: {len(self.out_channels)} channels {self.out_channels}, '
                f'{len(strides)} strides {tuple(strides)}'
            )
        self.blocks = nn.ModuleList(
            STGCBlock(entry, out, graph, stride=stride, **block)
            for entry, out, stride in zip(self.entry_channels, self.out_channels, strides, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The head on its own, without a word from the other."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


@MODELS.register_module()
class CoarseHead(_Head):
    """Few frames, many channels: what the whole body does, eqs. (4), (5).

    Args:
        in_channels: C, the backbone's.
        graph_cfg: the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        channels, strides: of each block.
        subsample: keeps every so manyth frame (1, 2 and 4 in the paper's ablation).
        windows: frames in the window of each G3D pathway ((), (3,) and (3, 5) in the paper's ablation).
        dilations: of the MS-TCN branches.
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
        recompute: bool = False,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            Subsample(subsample),
            (in_channels, *channels),
            init_cfg,
            graph_cfg=graph_cfg,
            strides=strides,
            windows=windows,
            dilations=dilations,
            recompute=recompute,
        )


@MODELS.register_module()
class FineHead(_Head):
    """All frames, few channels: small, quick movements, eqs. (6), (7).

    Args:
        in_channels: C, the backbone's.
        graph_cfg: the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        channels, strides: of each block; channels before the reduction.
        reduction: divides all channels of the head (1, 2 and 4 in the paper's ablation).
        windows: frames in the window of each G3D pathway.
        dilations: of the MS-TCN branches.
        recompute: see :class:`~mmdualhead.models.block.STGCBlock`.
        init_cfg: see mmengine's ``BaseModule``.

    Shape:
        (N, C, T, V) -> (N, channels[-1] / reduction, T', V).

    Raises:
        ValueError: the reduction does not divide the channels.
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
        recompute: bool = False,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        widths = (in_channels, *channels)
        if any(width % reduction for width in widths):
            raise ValueError(f'FineHead: reduction {reduction} does not divide the channels {widths}')
        reduced = tuple(width // reduction for width in widths)
        super().__init__(
            nn.Conv2d(in_channels, reduced[0], 1),
            reduced,
            init_cfg,
            graph_cfg=graph_cfg,
            strides=strides,
            windows=windows,
            dilations=dilations,
            recompute=recompute,
        )

"""Backbone: STGC blocks over a normalized skeleton sequence, eq. (3).

N clips, M persons, T frames, V joints, C coordinates or channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .block import FINE_DILATIONS, FINE_WINDOWS, STGC_BLOCK, build_graph
from .build import build_block, require_counts
from .ops import set_budget


@MODELS.register_module()
class STGCBackbone(BaseModule):
    """One STGC block is DualHead-Net's backbone, three are MS-G3D; ten CTR-GC blocks are CTR-GCN.

    Works under MMAction2's ``RecognizerGCN`` with a ``GCNHead`` as well as under :class:`DualHeadRecognizer`.

    Args:
        graph_cfg: the graph, or the arguments of :class:`~mmdualhead.models.block.SkeletonGraph`.
        in_channels: C of the input; several streams concatenated have more than 3.
        num_person: M.
        channels: output channels of each block.
        strides: temporal stride of each block; one number per block.
        windows: frames in the window of each G3D pathway.
        dilations: of the MS-TCN branches.
        block: config of the blocks, :class:`~mmdualhead.models.block.STGCBlock` by default.
        recompute: save memory at the cost of time, see :class:`~mmdualhead.models.block.STGCBlock`.
        window_memory: bytes that the largest intermediate of a windowed product may use on a GPU, for all
            networks of the process (:func:`mmdualhead.models.ops.set_budget`); 1 GiB by default.
        init_cfg: see mmengine's ``BaseModule``.

    Shape:
        (N, M, T, V, C) -> (N, M, channels[-1], T', V).

    Raises:
        UserError: channels and strides differ in number, or a number is not one of at least 1.
        ValueError: the input does not fit ``graph_cfg``, ``num_person`` and ``in_channels``, or
            ``window_memory`` is not positive.
    """

    def __init__(
        self,
        graph_cfg: Mapping[str, Any],
        in_channels: int = 3,
        num_person: int = 2,
        channels: Sequence[int] = (96,),
        strides: Sequence[int] = (1,),
        windows: Sequence[int] = FINE_WINDOWS,
        dilations: Sequence[int] = FINE_DILATIONS,
        block: Mapping[str, Any] = STGC_BLOCK,
        recompute: bool = False,
        window_memory: int | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        require_counts('STGCBackbone', in_channels=in_channels, num_person=num_person)
        require_counts('STGCBackbone', channels=channels, strides=strides)
        if len(channels) != len(strides):
            raise UserError(
                f'STGCBackbone: {len(channels)} channels {channels}, {len(strides)} strides {strides}'
            )
        if window_memory is not None:
            set_budget(window_memory)
        graph = build_graph(graph_cfg)
        self.input_shape = (num_person, graph.num_joints, in_channels)
        self.out_channels = channels[-1]
        self.data_norm = nn.BatchNorm1d(prod(self.input_shape))
        self.blocks = nn.Sequential()
        shared = dict(graph=graph, windows=windows, dilations=dilations, recompute=recompute)
        for out_channels, stride in zip(channels, strides, strict=True):
            ends = dict(in_channels=in_channels, out_channels=out_channels)
            place = dict(first=not self.blocks, mid_channels=None if self.blocks else out_channels)
            self.blocks.append(build_block(block, stride=stride, **ends, **place, **shared))
            in_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.normalize(x)).unflatten(0, x.shape[:2])

    def normalize(self, x: Tensor) -> Tensor:
        """Batch norm of every coordinate of every joint and person: (N, M, T, V, C) -> (N * M, C, T, V).

        Raises:
            UserError: the input has other persons, joints or channels than the config.
        """
        n, m, t, v, c = x.shape
        if (m, v, c) != self.input_shape:
            raise UserError(
                'STGCBackbone: the input has (persons, joints, channels) = '
                f'{(m, v, c)}, '
                f'the config has {self.input_shape} (num_person, joints of the layout, in_channels)'
            )
        x = self.data_norm(x.transpose(1, 2).reshape(n * t, m * v * c))
        return x.view(n, t, m, v, c).permute(0, 2, 4, 1, 3).flatten(0, 1)


def input_shape_of(backbone: nn.Module | None) -> tuple[int | None, int | None, int | None]:
    """The (M, V, C) that a backbone of ours or of MMAction2 takes; None for what it takes any of."""
    if isinstance(backbone, STGCBackbone):
        return backbone.input_shape
    joints = getattr(getattr(backbone, 'graph', None), 'num_node', None)
    channels = getattr(backbone, 'in_channels', None)
    persons = None
    if joints and channels and getattr(backbone, 'data_bn_type', '') == 'MVC':
        persons = backbone.data_bn.num_features // (joints * channels)  # type: ignore[union-attr]
    return persons, joints, channels

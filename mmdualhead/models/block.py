"""The STGC block, of which the backbone, both heads and the MS-G3D baseline are built.

N clips times persons, C channels, T frames, V joints, K graph scales, W frames in a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton, get_skeleton

from .build import require_counts
from .graph import directed_adjacency, disentangled_adjacency, joint_adjacency, window_adjacency
from .layers import MSGCN, MSTCN, msg3d

FINE_WINDOWS = (3, 5)
FINE_DILATIONS = (1, 2, 3, 4)
STGC_BLOCK = {'type': 'STGCBlock'}


@MODELS.register_module()
@dataclass(frozen=True, kw_only=True)
class SkeletonGraph:
    """The graph that all blocks of a network share: the skeleton's joints, by disentangled hops.

    A custom graph is a registered class with the attributes ``num_joints`` and ``spatial`` and the method
    ``windowed``, or only those of the three matrices that its blocks use. They may be ``nn.Parameter``, which
    are then learned.

    Args:
        layout: the joint layout, by name or as a custom definition
            (:func:`mmdualhead.skeletons.get_skeleton`).
        gcn_scales: K of MS-GCN.
        g3d_scales: K of MS-G3D.

    Raises:
        UserError: a number of scales is not at least 1.
    """

    layout: str | Mapping[str, Any] | Skeleton = 'nturgb+d'
    gcn_scales: int = 9
    g3d_scales: int = 6

    def __post_init__(self) -> None:
        require_counts('SkeletonGraph', gcn_scales=self.gcn_scales, g3d_scales=self.g3d_scales)

    @property
    def skeleton(self) -> Skeleton:
        return get_skeleton(self.layout)

    @property
    def num_joints(self) -> int:
        """V."""
        return self.skeleton.num_joints

    @property
    def directed(self) -> np.ndarray:
        """The subsets of CTR-GC, (3, V, V): a joint itself, inward and outward bones."""
        return directed_adjacency(self.skeleton)

    @property
    def spatial(self) -> np.ndarray:
        """The adjacency of MS-GCN, (K, V, V)."""
        return disentangled_adjacency(joint_adjacency(self.skeleton), self.gcn_scales)

    def windowed(self, window: int) -> np.ndarray:
        """The adjacency of MS-G3D over windows of W frames, (K, W * V, W * V)."""
        return disentangled_adjacency(
            window_adjacency(joint_adjacency(self.skeleton), window), self.g3d_scales
        )


def build_graph(graph_cfg: Mapping[str, Any] | Any) -> Any:
    """Build a graph, by default a :class:`SkeletonGraph`; a graph is returned unchanged."""
    if not isinstance(graph_cfg, Mapping):
        return graph_cfg
    return MODELS.build({'type': 'SkeletonGraph', **graph_cfg})


@MODELS.register_module()
class STGCBlock(nn.Module):
    """Spatial-temporal graph convolution block: MS-TCN(ReLU(factorized(x) + sum over windows of MS-G3D(x))).

    The factorized path is MS-GCN, MS-TCN with the block's stride and a second MS-TCN without its ReLU.

    Args:
        in_channels, out_channels: C and D.
        graph: the network's graph.
        stride: s.
        windows: frames in the window of each G3D pathway; () leaves only the factorized path.
        dilations: of the MS-TCN branches.
        mid_channels: channels of MS-GCN's output and inside the windows. Defaults to C, as in the paper; a
            network's first block has D.
        recompute: recompute the activations of the G3D pathways and of the strided MS-TCN, over half of all
            bytes, in the backward pass instead of storing them.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V).

    Raises:
        UserError: a window is even, or the graph's matrices do not match its joints.

    Source: Liu et al., CVPR 2020; Chen et al., ACM MM 2021, figure 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: SkeletonGraph,
        *,
        stride: int = 1,
        windows: Sequence[int] = FINE_WINDOWS,
        dilations: Sequence[int] = FINE_DILATIONS,
        mid_channels: int | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        mid = in_channels if mid_channels is None else mid_channels
        self.factorized = nn.Sequential(
            MSGCN(in_channels, mid, adjacency(graph)),
            MSTCN(mid, out_channels, stride, dilations),
            MSTCN(out_channels, out_channels, 1, dilations, activate=False),
        )
        self.windowed = nn.ModuleList(
            msg3d(in_channels, mid, out_channels, adjacency(graph, window), window, stride)
            for window in windows
        )
        self.fuse_paths = MSTCN(out_channels, out_channels, 1, dilations)
        self.run: Callable[..., Tensor] = recomputed if recompute else run

    def forward(self, x: Tensor) -> Tensor:
        spatial, strided, temporal = self.factorized
        y = temporal(self.run(strided, spatial(x)))
        for pathway in self.windowed:
            y += self.run(pathway, x)
        return self.fuse_paths(y.relu_())


def adjacency(graph: Any, window: int | None = None) -> np.ndarray | nn.Parameter:
    """A graph's matrices of single frames, or of windows of W frames, after checking their shape.

    Raises:
        UserError: the window is not odd, or the matrices are not (K, W * V, W * V).
    """
    if window is None:
        return _checked(graph, 'spatial', graph.spatial)
    if window < 1 or window % 2 == 0:
        raise UserError(f'window={window}, expected an odd number of at least 1')
    return _checked(graph, f'windowed({window})', graph.windowed(window), window)


def subsets(graph: Any) -> np.ndarray | nn.Parameter:
    """A graph's matrices by direction, after checking their shape.

    Raises:
        UserError: it has none, or they are not (K, V, V).
    """
    if not hasattr(graph, 'directed'):
        raise UserError(f"{type(graph).__name__} has no attribute 'directed', which the block needs")
    return _checked(graph, 'directed', graph.directed)


def _checked(graph: Any, what: str, matrices: Any, window: int = 1) -> Any:
    nodes, found = graph.num_joints * window, tuple(matrices.shape)
    if len(found) != 3 or found[1:] != (nodes, nodes):
        raise UserError(f'{type(graph).__name__}.{what} is {found}; expected (K, {nodes}, {nodes})')
    return matrices


def run(layer: nn.Module, x: Tensor) -> Tensor:
    """Call a layer."""
    return layer(x)


def recomputed(layer: nn.Module, x: Tensor) -> Tensor:
    """Call a layer, storing only its input; the backward pass calls it again.

    Args:
        layer: may contain batch norms; their running statistics are updated once.
        x: its input.
    """
    if not torch.is_grad_enabled():
        return layer(x)
    if torch.compiler.is_compiling():  # which updates the statistics only in its forward graph
        return checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)
    contexts = lambda: (nullcontext(), _throw_away_statistics(layer))  # noqa: E731
    return checkpoint(layer, x, use_reentrant=False, context_fn=contexts, preserve_rng_state=False)


@contextmanager
def _throw_away_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms update copies of their running statistics, which are then discarded."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({name: buffer.clone() for name, buffer in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)

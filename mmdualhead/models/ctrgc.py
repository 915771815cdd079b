"""CTR-GCN's block: graph convolution over topologies that are refined channel by channel, then MS-TCN.

N clips times persons, C input and D output channels, T frames, V joints, K subsets of the graph, R channels
of the relations. Ten blocks in an :class:`~mmdualhead.models.backbone.STGCBackbone` are CTR-GCN.

Source: Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action
Recognition", ICCV 2021, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from .block import SkeletonGraph, recomputed, run, subsets
from .layers import TemporalBranches, shortcut, subsample
from .ops import topology_product

CTR_DILATIONS = (1, 2)
CTR_KERNEL = 5
REDUCTION = 8
"""C / R; a network's first block, whose input is coordinates, has R = 8."""
FIRST_RELATIONS = 8


class ChannelTopology(nn.Module):
    r"""A topology for every channel, refined from one that all channels and clips share.

    .. math::
        M(\psi(x_i), \phi(x_j)) = \tanh(\psi(x_i) - \phi(x_j)), \quad Q = \xi(M), \quad R = A + \alpha Q

    where :math:`x_i` is the mean of joint i over time, :math:`\psi, \phi` project it to R channels and
    :math:`\xi` projects relations to D. All is linear in M, so each channel's topology is a combination of
    R + 2 matrices (V, V): the relations, A and, for the bias of :math:`\xi`, ones. The layer returns these;
    :func:`~mmdualhead.models.ops.topology_product` combines them.

    Args:
        in_channels, out_channels: C and D.
        relations: R.
        adjacency: (K, V, V), the initial value of the learned A; :math:`\alpha` starts at zero.

    Shape:
        (N, C, T, V) -> the matrices (N, K, R + 2, V, V) and the coefficients (K, D, R + 2).
    """

    def __init__(
        self, in_channels: int, out_channels: int, relations: int, adjacency: np.ndarray | nn.Parameter
    ) -> None:
        super().__init__()
        num_subsets = len(adjacency)
        self.sizes = (2, num_subsets, relations)
        self.project = nn.Linear(in_channels, 2 * num_subsets * relations)
        self.weight = nn.Parameter(torch.empty(num_subsets, out_channels, relations))
        self.bias = nn.Parameter(torch.zeros(num_subsets, out_channels))
        self.adjacency = nn.Parameter(torch.as_tensor(adjacency, dtype=torch.float32).detach().clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        nn.init.normal_(self.project.weight, std=(2 / relations) ** 0.5)
        nn.init.zeros_(self.project.bias)
        nn.init.normal_(self.weight, std=(2 / out_channels) ** 0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # A projection of the mean is the mean of projections, for a fraction of the work.
        joints = self.project(x.permute(0, 2, 3, 1).mean(1))
        psi, phi = joints.unflatten(2, self.sizes).permute(2, 0, 3, 4, 1)
        relations = torch.tanh(psi.unsqueeze(4) - phi.unsqueeze(3))
        shared = torch.stack([self.adjacency, torch.ones_like(self.adjacency)], 1)
        # Repeated by adding zeros, since exporters treat the size that expand() needs as a constant.
        matrices = torch.cat([relations, relations[:, :, :1] * 0 + shared], 2)
        of_shared = torch.stack([torch.ones_like(self.bias), self.alpha * self.bias], 2)
        return matrices, torch.cat([self.alpha * self.weight, of_shared], 2)


class CTRGC(nn.Module):
    r"""Channel-wise topology refinement graph convolution, with batch norm, residual connection and ReLU.

    .. math::
        Z = \sum_k \big[ R^{(k)}_1 \tilde x^{(k)}_{:,1} \,\|\, \dots \,\|\, R^{(k)}_D
            \tilde x^{(k)}_{:,D} \big], \quad \tilde X^{(k)} = X W^{(k)}

    Args:
        in_channels, out_channels: C and D.
        relations: R.
        adjacency: (K, V, V), see :class:`ChannelTopology`.

    Shape:
        (N, C, T, V) -> (N, D, T, V).
    """

    def __init__(
        self, in_channels: int, out_channels: int, relations: int, adjacency: np.ndarray | nn.Parameter
    ) -> None:
        super().__init__()
        self.topology = ChannelTopology(in_channels, out_channels, relations, adjacency)
        self.weight = nn.Parameter(torch.empty(len(adjacency), out_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(len(adjacency), out_channels))
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut(in_channels, out_channels)
        nn.init.normal_(self.weight, std=(2 / out_channels) ** 0.5)
        # The layer starts as its residual connection.
        nn.init.constant_(self.norm.weight, 1e-6)
        _init_projection(self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        z = topology_product(x, self.weight, self.bias, *self.topology(x))
        y = self.norm(z)
        y += self.shortcut(x)
        return y.relu_()


@MODELS.register_module()
class CTRGCBlock(nn.Module):
    """A block of CTR-GCN: ReLU(MS-TCN(CTR-GC(x)) + residual(x)).

    MS-TCN's branches have kernels of five frames.

    Args:
        in_channels, out_channels: C and D.
        graph: the network's graph, whose ``directed`` matrices are the subsets.
        stride: s.
        dilations: of the MS-TCN branches.
        first: whether this is a network's first block, whose input is coordinates; it has no residual
            connection.
        recompute: recompute the activations inside CTR-GC and MS-TCN in the backward pass instead of storing
            them.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V).

    Raises:
        UserError: the graph has no subsets, or D is not divisible by the number of branches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: SkeletonGraph,
        *,
        stride: int = 1,
        dilations: Sequence[int] = CTR_DILATIONS,
        first: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        relations = FIRST_RELATIONS if first else max(1, in_channels // REDUCTION)
        self.stride = stride
        self.spatial = CTRGC(in_channels, out_channels, relations, subsets(graph))
        self.temporal = TemporalBranches(out_channels, out_channels, stride, dilations, CTR_KERNEL)
        self.temporal.reset_parameters()
        self.shortcut = None if first else shortcut(in_channels, out_channels, stride)
        _init_projection(self.shortcut)
        self.run: Callable[..., Tensor] = recomputed if recompute else run

    def forward(self, x: Tensor) -> Tensor:
        y = self.run(self.temporal, self.run(self.spatial, x))
        if self.shortcut is not None:
            y += self.shortcut(subsample(x, self.stride))
        return y.relu_()


def _init_projection(module: nn.Module | None) -> None:
    """The authors' initialization of a residual connection with a convolution."""
    if isinstance(module, nn.Sequential):
        nn.init.kaiming_normal_(module[0].weight, mode='fan_out')
        nn.init.zeros_(module[0].bias)

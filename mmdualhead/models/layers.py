"""The layers of an STGC block: multi-scale graph convolution (MS-GCN), its windowed form (MS-G3D) and
multi-scale temporal convolution (MS-TCN).

N clips times persons, C channels, T frames, V joints, K graph scales, W frames in a window. Feature maps are
(N, C, T, V) in channels_last memory, so that frames are contiguous and 1x1 convolutions, batch norms and
window products all run without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .build import require_counts
from .norm import normalized_mixing
from .ops import linear, mix_and_collapse, pointwise_conv, temporal_max_pool, window_product

TEMPORAL_KERNEL = 3


class GraphConv(nn.Module):
    r"""Graph convolution over windows of frames, before normalization (eq. (1) and G3D).

    .. math::
        H[t, (v, i)] = b + \sum_{k, j, u} (\tilde A + A_{res})^{(k)}_{(i,v),(j,u)}
            \, W^{(k)} x[s t + j - p, u]

    Channels are mixed first; the result is then aggregated over the graph.

    Args:
        in_channels: C.
        out_channels: D.
        adjacency: (K, W * V, W * V), nodes numbered frame by frame; learned if it is a parameter.
        window: W, odd; 1 is the graph convolution of single frames.
        stride: s, frames between windows.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V * W), the last axis joint by joint.

    Source: Liu et al., CVPR 2020; ``residual`` is the learned, dense :math:`A_{res}`, initialized U(-1e-6,
        1e-6).
    """

    def __init__(
        self, in_channels: int, out_channels: int, adjacency: np.ndarray, window: int, stride: int
    ) -> None:
        super().__init__()
        self.window = window
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(len(adjacency), out_channels, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.residual = nn.Parameter(torch.empty(adjacency.shape).uniform_(-1e-6, 1e-6))
        if isinstance(adjacency, nn.Parameter):
            self.adjacency = adjacency
        else:
            matrices = torch.as_tensor(adjacency, dtype=self.residual.dtype)
            self.register_buffer('adjacency', matrices, persistent=False)
        bound = (len(adjacency) * in_channels) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def matrix(self) -> Tensor:
        """A + A_res as the matrix of the product: rows (v, i), columns (j, u, k)."""
        return self._nodes().permute(2, 1, 3, 4, 0).flatten(2).flatten(0, 1)

    def _nodes(self) -> Tensor:
        """A + A_res, (k, i, v, j, u)."""
        nodes = self.adjacency + self.residual
        return nodes.unflatten(1, (self.window, -1)).unflatten(3, (self.window, -1))

    def forward(self, x: Tensor) -> Tensor:
        return window_product(x, self.weight, self.bias, self.matrix(), self.stride)


class NarrowGraphConv(GraphConv):
    """The graph convolution where C < D, as in a network's first block: the few coordinates are aggregated
    over the graph first and mixed to the many features afterwards.
    """

    def matrix(self) -> Tensor:
        """Rows (k, v, i), columns (j, u)."""
        return self._nodes().transpose(1, 2).flatten(3).flatten(0, 2)

    def mixing(self) -> Tensor:
        """The linear map that follows the graph: (D, C * K)."""
        return self.weight.permute(1, 2, 0).flatten(1)

    def gather(self, x: Tensor) -> Tensor:
        """The aggregated features before mixing: (N, C, T, V) -> (N, ceil(T / s), V * W, C * K)."""
        return gather_windows(x, self.matrix(), self.window, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return mix(self.gather(x), self.mixing(), self.bias)


def graph_conv(
    in_channels: int, out_channels: int, adjacency: np.ndarray, window: int = 1, stride: int = 1
) -> GraphConv:
    """The graph convolution that aggregates the narrower of C and D; see :class:`GraphConv`."""
    order = NarrowGraphConv if in_channels < out_channels else GraphConv
    return order(in_channels, out_channels, adjacency, window, stride)


def gather_windows(x: Tensor, matrix: Tensor, window: int, stride: int) -> Tensor:
    """Every window over the graph, before channels are mixed.

    Args:
        x: (N, C, T, V).
        matrix: (K * V * W, W * V).
        window, stride: W and s.

    Returns:
        (N, ceil(T / s), V * W, C * K).
    """
    nodes, pad = x.shape[3] * window, (window - 1) // 2
    frames = F.pad(x.permute(0, 2, 1, 3), (0, 0, 0, 0, pad, pad))
    # Copied, the windows are one matrix; as an overlapping view, each frame would be a separate product.
    windows = torch.cat([frames[:, i : i + 1 - window or None : stride] for i in range(window)], 3)
    return linear(windows, matrix).unflatten(3, (-1, nodes)).flatten(2, 3).transpose(2, 3).contiguous()


def mix(gathered: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The linear map of what the graph has gathered: (N, T, V, C * K) -> (N, D, T, V)."""
    return linear(gathered, weight, bias).permute(0, 3, 1, 2)


class MSGCN(nn.Module):
    """Multi-scale graph convolution, eq. (1): graph convolution, batch norm, ReLU.

    Args:
        in_channels, out_channels: C and D.
        adjacency: (K, V, V).

    Shape:
        (N, C, T, V) -> (N, D, T, V).
    """

    def __init__(self, in_channels: int, out_channels: int, adjacency: np.ndarray) -> None:
        super().__init__()
        self.conv = graph_conv(in_channels, out_channels, adjacency)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu_()


class MSG3D(nn.Module):
    """One pathway of MS-G3D: graph convolution over windows, BN, ReLU, collapse of the window, BN.

    Args:
        in_channels, mid_channels, out_channels: C, channels inside the windows, and D.
        adjacency: (K, W * V, W * V).
        window: W.
        stride: s, frames between windows.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V).
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        adjacency: np.ndarray,
        window: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.conv = graph_conv(in_channels, mid_channels, adjacency, window, stride)
        self.norm = nn.BatchNorm2d(mid_channels)
        self.collapse = WindowCollapse(mid_channels, out_channels, window)
        self.out_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_norm(self.collapse(self.norm(self.conv(x)).relu_()))


class NarrowMSG3D(MSG3D):
    """The pathway where C < D, as in a network's first block: batch norm comes from the moments of the few
    channels that the graph gathers, and the many features of windows, the network's largest tensors, are
    collapsed without being materialized.
    """

    def forward(self, x: Tensor) -> Tensor:
        gathered = self.conv.gather(x)
        mixing = normalized_mixing(gathered, self.conv.mixing(), self.conv.bias, self.norm)
        return self.out_norm(self.collapse.after_mixing(gathered, *mixing))


def msg3d(
    in_channels: int, mid_channels: int, out_channels: int, adjacency: np.ndarray, window: int, stride: int
) -> MSG3D:
    """The pathway for C and the channels inside the windows; see :class:`MSG3D`."""
    pathway = NarrowMSG3D if in_channels < mid_channels else MSG3D
    return pathway(in_channels, mid_channels, out_channels, adjacency, window, stride)


class WindowCollapse(nn.Conv2d):
    """Collapse the frames of a window to one: a (1, W) convolution with stride (1, W).

    A window's frames are adjacent in memory, so it is computed as a 1x1 convolution of C * W channels,
    which is faster, most of all in the backward pass.

    Args:
        in_channels, out_channels: C and D.
        window: W.

    Shape:
        (N, C, T, V * W) -> (N, D, T, V).
    """

    def __init__(self, in_channels: int, out_channels: int, window: int) -> None:
        super().__init__(in_channels, out_channels, (1, window), (1, window))

    def forward(self, x: Tensor) -> Tensor:
        windows = x.permute(0, 2, 3, 1).unflatten(2, (-1, self.kernel_size[1])).flatten(3)
        return pointwise_conv(
            windows.permute(0, 3, 1, 2), self._frame_by_frame()[:, :, None, None], self.bias
        )

    def after_mixing(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The collapse of ReLU(W x + b), whose many features are never materialized.

        Args:
            x: (N, T, V * W, E).
            weight, bias: W and b, from E to C channels.

        Returns:
            (N, D, T, V).
        """
        collapsed = mix_and_collapse(x, weight, bias, self._frame_by_frame(), self.bias)
        return collapsed.permute(0, 3, 1, 2)

    def _frame_by_frame(self) -> Tensor:
        """The weight of the 1x1 convolution, (D, W * C)."""
        return self.weight.transpose(1, 3).flatten(1)


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution: a linear map of every joint's channels.

    Args:
        in_channels, out_channels: C and D.

    Shape:
        (N, C, T, V) -> (N, D, T, V).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise_conv(x, self.weight, self.bias)


class TemporalBranches(nn.Module):
    """Multi-scale temporal convolution, eq. (2): branches of equal width, side by side, and batch norm.

    A dilated convolution for each dilation, a max pool and a plain 1x1 convolution. Their 1x1
    convolutions and batch norms are merged into one convolution and one batch norm for all branches.

    Args:
        in_channels, out_channels: C and D; D must be divisible by the number of branches.
        stride: s.
        dilations: of the convolution branches.
        kernel_size: frames that a dilated convolution sees.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V).

    Raises:
        UserError: D is not divisible by the number of branches.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilations: Sequence[int],
        kernel_size: int = TEMPORAL_KERNEL,
    ) -> None:
        super().__init__()
        require_counts('MS-TCN', stride=stride, dilations=dilations)
        width, rest = divmod(out_channels, len(dilations) + 2)
        if rest:
            raise UserError(
                f'MS-TCN: {out_channels} channels do not divide into {len(dilations) + 2} branches '
                f'({len(dilations)} dilations, a max pool and a 1x1 convolution)'
            )
        self.stride = stride
        self.width = width
        self.reduce = PointwiseConv(in_channels, width * (len(dilations) + 1))
        self.reduce_norm = nn.BatchNorm2d(width * (len(dilations) + 1))
        self.dilated = nn.ModuleList(_dilated_conv(width, stride, each, kernel_size) for each in dilations)
        self.plain = PointwiseConv(in_channels, width)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.branches(x, subsample(x, self.stride))

    def branches(self, x: Tensor, strided: Tensor) -> Tensor:
        """The layer, also given the frames that remain after the stride."""
        *convolved, pooled = self.reduce_norm(self.reduce(x)).relu_().split(self.width, 1)
        branches = [conv(part) for conv, part in zip(self.dilated, convolved, strict=True)]
        branches += [temporal_max_pool(pooled, self.stride), self.plain(strided)]
        return self.norm(torch.cat(branches, 1))

    def reset_parameters(self) -> None:
        """The authors' initialization; the merged 1x1 convolution gets the fan-out of one branch."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                branch = min(module.out_channels, self.width) * module.kernel_size[0]
                fan_out = module.out_channels if name.startswith('shortcut') else branch
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.02)


class MSTCN(TemporalBranches):
    """:class:`TemporalBranches` with a residual connection and, at the end, ReLU.

    Args:
        in_channels, out_channels, stride, dilations: see :class:`TemporalBranches`.
        activate: whether ReLU ends the layer.

    Shape:
        (N, C, T, V) -> (N, D, ceil(T / s), V).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        dilations: Sequence[int],
        activate: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, dilations)
        self.shortcut = shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU(inplace=True) if activate else nn.Identity()
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        strided = subsample(x, self.stride)
        return self.activation(self.branches(x, strided) + self.shortcut(strided))


def subsample(x: Tensor, rate: int) -> Tensor:
    """Every ``rate``-th frame, eq. (4): (N, C, T, V) -> (N, C, ceil(T / rate), V)."""
    if not torch.compiler.is_dynamo_compiling() or rate == 1:
        return x[:, :, ::rate]
    # torch.compile generates two graphs for even and odd T, since only one view is channels_last.
    frames = x.permute(0, 2, 3, 1)
    return frames.flatten(2)[:, ::rate].contiguous().unflatten(2, frames.shape[2:]).permute(0, 3, 1, 2)


def shortcut(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The identity if the shapes allow it, else a projection of the frames that remain."""
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(PointwiseConv(in_channels, out_channels), nn.BatchNorm2d(out_channels))


def _dilated_conv(width: int, stride: int, dilation: int, kernel_size: int) -> nn.Conv2d:
    pad = dilation * (kernel_size // 2)
    return nn.Conv2d(width, width, (kernel_size, 1), (stride, 1), (pad, 0), (dilation, 1))

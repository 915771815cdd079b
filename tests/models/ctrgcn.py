"""CTR-GCN in the form that its authors published, to compare with: one convolution a branch and a subset, and
the aggregation by einsum over (N, C, V, V) topologies, all in (N, C, T, V). Keys are the published ones.

N clips times persons, C channels, T frames, V joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNITS = (
    (3, 64, 1),
    *[(64, 64, 1)] * 3,
    (64, 128, 2),
    *[(128, 128, 1)] * 2,
    (128, 256, 2),
    *[(256, 256, 1)] * 2,
)
"""Input channels, output channels and stride of each unit."""


class Refinement(nn.Module):
    """One subset: its topology for every channel, and the aggregation over it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        relation = 8 if in_channels == 3 else in_channels // 8
        self.conv1 = nn.Conv2d(in_channels, relation, 1)
        self.conv2 = nn.Conv2d(in_channels, relation, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(relation, out_channels, 1)

    def forward(self, x: Tensor, adjacency: Tensor, alpha: Tensor) -> Tensor:
        one, other = self.conv1(x).mean(2), self.conv2(x).mean(2)
        relations = torch.tanh(one.unsqueeze(3) - other.unsqueeze(2))
        topology = self.conv4(relations) * alpha + adjacency
        return torch.einsum('ncuv,nctv->nctu', topology, self.conv3(x))


class Spatial(nn.Module):
    """The sum over subsets, batch norm, residual connection and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, joints: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Refinement(in_channels, out_channels) for _ in range(3))
        self.PA = nn.Parameter(torch.randn(3, joints, joints) / joints)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.bn = nn.BatchNorm2d(out_channels)
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = sum(conv(x, self.PA[k], self.alpha) for k, conv in enumerate(self.convs))
        return (self.bn(y) + (self.down(x) if hasattr(self, 'down') else x)).relu()


class ConvNorm(nn.Module):
    """A temporal convolution and batch norm."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        pad = dilation * (size - 1) // 2
        self.conv = nn.Conv2d(in_channels, out_channels, (size, 1), (stride, 1), (pad, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Temporal(nn.Module):
    """Four branches: dilations 1 and 2 of a kernel of 5 frames, max pool, 1x1."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        width = channels // 4

        def reduce(stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(channels, width, 1, (stride, 1)), nn.BatchNorm2d(width)]

        def dilated(dilation: int) -> nn.Module:
            return nn.Sequential(*reduce(), nn.ReLU(), ConvNorm(width, width, 5, stride, dilation))

        pool = nn.Sequential(
            *reduce(), nn.ReLU(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(width)
        )
        self.branches = nn.ModuleList([dilated(1), dilated(2), pool, nn.Sequential(*reduce(stride))])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Unit(nn.Module):
    """Graph and temporal convolution with a residual connection, which the first unit lacks."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, joints: int) -> None:
        super().__init__()
        self.gcn1 = Spatial(in_channels, out_channels, joints)
        self.tcn1 = Temporal(out_channels, stride)
        self.first = in_channels == 3
        if not self.first and in_channels != out_channels:
            self.residual = ConvNorm(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        if not self.first:
            y = y + (self.residual(x) if hasattr(self, 'residual') else x)
        return y.relu()


class AuthorsCTRGCN(nn.Module):
    """CTR-GCN for two persons: logits of clips (N, M, T, V, C)."""

    def __init__(self, num_classes: int = 60, joints: int = 25, persons: int = 2) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(persons * joints * 3)
        for i, (in_channels, out_channels, stride) in enumerate(UNITS, start=1):
            self.add_module(f'l{i}', Unit(in_channels, out_channels, stride, joints))
        self.fc = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        n, m, t, v, c = x.shape
        x = self.data_bn(x.permute(0, 1, 3, 4, 2).reshape(n, m * v * c, t))
        x = x.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for i in range(len(UNITS)):
            x = getattr(self, f'l{i + 1}')(x)
        return self.fc(x.flatten(2).mean(2).view(n, m, -1).mean(1))

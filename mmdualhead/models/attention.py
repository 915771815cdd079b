"""Cross-head attention: each head tells the other where to look, eqs. (8) to (11).

N clips times persons, C channels, T frames, V joints. The fine head, which sees all frames, weighs the
coarse head's frames; the coarse head, which sees the whole, weighs the fine head's joints. ``x`` is what
gets weighed, ``other`` the features of the head that speaks.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

TEMPORAL_ATTENTION_KERNEL = 9


@MODELS.register_module()
class TemporalCrossAttention(nn.Module):
    r"""Weigh frames by the other head's features, eqs. (8), (9).

    .. math:: M_t = \sigma(\mathrm{Conv}_9(\mathrm{mean}_V(other))), \quad x' = x + x \otimes M_t

    The convolution starts at zero, so that every frame starts with the weight 1.5. Where the heads differ in
    length (an ablation of the subsampling), each frame takes the weight of the nearest moment.

    Args:
        channels: C of x.
        other_channels: C of other.
        num_joints: V; does not matter here.
        kernel_size: frames that the convolution spans.

    Shape:
        x (N, C, T, V), other (N, C', T', V) -> (N, C, T, V).
    """

    def __init__(
        self,
        channels: int,  # noqa: ARG002
        other_channels: int,
        num_joints: int,  # noqa: ARG002
        kernel_size: int = TEMPORAL_ATTENTION_KERNEL,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(other_channels, 1, kernel_size, padding='same')
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        mask = self.conv(other.mean(3)).sigmoid()
        if mask.shape[2] != x.shape[2]:
            mask = F.interpolate(mask, size=x.shape[2])
        return x + x * mask.unsqueeze(3)


@MODELS.register_module()
class TemporalSelfAttention(TemporalCrossAttention):
    """The ablation's "self-learned" attention: a head weighs its own frames.

    Arguments and shapes are those of :class:`TemporalCrossAttention`.
    """

    def __init__(
        self,
        channels: int,
        other_channels: int,
        num_joints: int,
        kernel_size: int = TEMPORAL_ATTENTION_KERNEL,
    ) -> None:
        super().__init__(other_channels, channels, num_joints, kernel_size)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # noqa: ARG002
        return super().forward(x, x)


@MODELS.register_module()
class SpatialCrossAttention(nn.Module):
    r"""Weigh joints by the other head's features, eqs. (10), (11).

    .. math:: M_s = \sigma(\mathrm{Conv}(\mathrm{mean}_T(other))), \quad x' = x + x \otimes M_s

    Args:
        channels: C of x.
        other_channels: C of other.
        num_joints: V.
        kernel_size: joints that the convolution spans. Defaults to V, or V - 1 where V is even.

    Shape:
        x (N, C, T, V), other (N, C', T', V) -> (N, C, T, V).
    """

    def __init__(
        self,
        channels: int,  # noqa: ARG002
        other_channels: int,
        num_joints: int,
        kernel_size: int | None = None,
    ) -> None:
        super().__init__()
        kernel_size = kernel_size or num_joints - 1 + num_joints % 2
        self.conv = nn.Conv1d(other_channels, 1, kernel_size, padding='same')
        nn.init.xavier_normal_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        mask = self.conv(other.mean(2)).sigmoid()
        return x + x * mask.unsqueeze(2)


@MODELS.register_module()
class SpatialSelfAttention(SpatialCrossAttention):
    """The ablation's "self-learned" attention: a head weighs its own joints.

    Arguments and shapes are those of :class:`SpatialCrossAttention`.
    """

    def __init__(
        self, channels: int, other_channels: int, num_joints: int, kernel_size: int | None = None
    ) -> None:
        super().__init__(other_channels, channels, num_joints, kernel_size)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # noqa: ARG002
        return super().forward(x, x)

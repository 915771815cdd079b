"""Attention between heads, eqs. (8) to (11).

N clips times persons, C channels, T frames, V joints. In the paper the fine head, which sees all frames,
weights the coarse head's frames, and the coarse head, which sees the whole body, weights the fine head's
joints. ``x`` are the features to weight, ``source`` those of the source head.

A custom attention is a registered module that is called with ``(x, source)``. Its constructor receives those
of ``channels`` (of x), ``source_channels`` and ``num_joints`` that it names.
"""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .build import require_counts
from .ops import stretch

TEMPORAL_KERNEL = 9


def _conv_to_mask(channels: int, kernel_size: int) -> nn.Conv1d:
    """A convolution to one channel that keeps the length.

    Its padding is a number because MMEngine's FLOP counter ignores convolutions padded by name.
    """
    require_counts('attention', kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise UserError(f'kernel_size {kernel_size} must be odd, so that a convolution keeps the length')
    return nn.Conv1d(channels, 1, kernel_size, padding=kernel_size // 2)


@MODELS.register_module()
class TemporalAttention(nn.Module):
    r"""Weight frames, eqs. (8), (9).

    .. math:: M_t = \sigma(\mathrm{Conv}_9(\mathrm{mean}_V(source))), \quad x' = x + x \otimes M_t

    The convolution starts at zero, so that every frame starts with the weight 1.5. Where the heads differ in
    length (an ablation of the subsampling), each frame gets the weight nearest in time.

    Args:
        source_channels: C of source.
        kernel_size: frames that the convolution spans.

    Shape:
        x (N, C, T, V), source (N, C', T', V) -> (N, C, T, V).
    """

    def __init__(self, source_channels: int, kernel_size: int = TEMPORAL_KERNEL) -> None:
        super().__init__()
        self.conv = _conv_to_mask(source_channels, kernel_size)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def mask(self, source: Tensor) -> Tensor:
        """M_t, one value per frame: (N, C', T', V) -> (N, 1, T')."""
        return self.conv(source.mean(3)).sigmoid()

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        mask = self.mask(source)
        if mask.shape[2] != x.shape[2]:
            mask = stretch(mask, x)
        return x + x * mask.unsqueeze(3)


@MODELS.register_module()
class SpatialAttention(nn.Module):
    r"""Weight joints, eqs. (10), (11).

    .. math:: M_s = \sigma(\mathrm{Conv}(\mathrm{mean}_T(source))), \quad x' = x + x \otimes M_s

    Args:
        source_channels: C of source.
        num_joints: V.
        kernel_size: joints that the convolution spans. Defaults to V, or V - 1 where V is even.

    Shape:
        x (N, C, T, V), source (N, C', T', V) -> (N, C, T, V).
    """

    def __init__(self, source_channels: int, num_joints: int, kernel_size: int | None = None) -> None:
        super().__init__()
        kernel_size = kernel_size or num_joints - 1 + num_joints % 2
        self.conv = _conv_to_mask(source_channels, kernel_size)
        nn.init.xavier_normal_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def mask(self, source: Tensor) -> Tensor:
        """M_s, one value per joint: (N, C', T', V) -> (N, 1, V).

        The convolution of k joints, k being about V, is fastest as one product: (N, V, k), what joint v adds
        to each of the k joints around it. Column j of row v belongs to joint v + j - k // 2, so row v is
        shifted by v, by cutting the padded rows to one number less, before the rows are added up.
        """
        joints, margin = source.shape[3], self.conv.padding[0]
        added = source.mean(2).transpose(1, 2) @ self.conv.weight[0].flip(1)
        shifted = F.pad(added, (0, joints)).flatten(1)[:, :-joints].unflatten(1, (joints, -1))
        summed = shifted.sum(1)[:, margin : margin + joints] + self.conv.bias
        return summed.sigmoid().unsqueeze(1)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        return x + x * self.mask(source).unsqueeze(2)

"""Memory layout of feature maps."""

from __future__ import annotations

from torch import Tensor


def frames_first(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, T, V, C), contiguous; no copy of channels_last memory."""
    return x.permute(0, 2, 3, 1).contiguous()

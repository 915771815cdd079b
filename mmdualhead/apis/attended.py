"""What the attentions of a network looked at while it answered.

N clips, S samples of each, M persons, T frames that the network saw, V joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdualhead.models.attention import SpatialAttention, TemporalAttention


@dataclass
class Masks:
    """The masks of all blocks in one pass: each (N * S * M, 1, T' or V)."""

    temporal: list[Tensor] = field(default_factory=list)
    spatial: list[Tensor] = field(default_factory=list)

    def when(self, present: np.ndarray, frames: int) -> np.ndarray | None:
        """(N, S, T): the mean over blocks and over the persons present (N, S, M); None without attention."""
        masks = [F.interpolate(mask, size=frames, mode='linear') for mask in self.temporal]
        return _mean(masks, present)

    def where(self, present: np.ndarray) -> np.ndarray | None:
        """(N, V): the mean over blocks, samples and the persons present."""
        mean = _mean(self.spatial, present)
        return None if mean is None else mean.mean(1)


def _mean(masks: list[Tensor], present: np.ndarray) -> np.ndarray | None:
    if not masks:
        return None
    mean = torch.stack([mask.squeeze(1).float() for mask in masks]).mean(0).cpu().numpy()
    weights = present / np.maximum(present.sum(-1, keepdims=True), 1)
    return np.einsum('nsm,nsmx->nsx', weights, mean.reshape(*present.shape, -1))


@contextmanager
def recorded(network: nn.Module) -> Iterator[Masks]:
    """Record the masks of a network's temporal and spatial attentions while it runs."""
    masks = Masks()
    kinds: dict[type[nn.Module], list[Tensor]] = {
        TemporalAttention: masks.temporal,
        SpatialAttention: masks.spatial,
    }
    with ExitStack() as hooks:
        for module in network.modules():
            for kind, taken in kinds.items():
                if isinstance(module, kind):
                    hooks.callback(module.register_forward_pre_hook(_recorder(taken)).remove)
        yield masks


def _recorder(taken: list[Tensor]) -> Any:
    def record(module: TemporalAttention | SpatialAttention, inputs: tuple[Tensor, Tensor]) -> None:
        taken.append(module.mask(inputs[1]).detach())

    return record

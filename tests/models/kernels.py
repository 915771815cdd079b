"""What the network's operations are made of, on either kind of device."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmdualhead.models.ops import cpu


class Kernels(TorchDispatchMode):
    """Counts what reaches the device: how many of each name, and the shapes of what is copied.

    Args:
        device: the kernels that run, :mod:`mmdualhead.models.ops.cpu` or
            :mod:`mmdualhead.models.ops.batched`, whatever device the tensors are on.
    """

    def __init__(self, device: ModuleType = cpu) -> None:
        super().__init__()
        self.device = device
        self.counts: Counter[str] = Counter()
        self.copied: list[torch.Size] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if func.namespace == 'mmdualhead':
            with self:
                return getattr(self.device, name)(*args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.counts[name] += 1
        if name == 'clone':
            self.copied.append(out.shape)
        return out

    def __getitem__(self, name: str) -> int:
        return self.counts[name]

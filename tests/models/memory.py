"""``python -m tests.models.memory``: the memory of a training step, derived without having it.

Every operation of the step runs on tensors without contents, by the kernels of a GPU, and the bytes of what
is alive are added up. N clips, M persons, T frames, V joints.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdualhead.models.ops import batched
from tests.models.networks import build, dualhead_config

CLIPS = (8, 16, 32, 64)
FORMS = {
    'float32 or TF32': {},
    'float32, `recompute=True`': dict(recompute=True),
    'half': dict(half=True),
    'half, `recompute=True`': dict(half=True, recompute=True),
}


class LiveMemory(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive; ``peak`` is the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == 'mmdualhead':
            with self:
                return getattr(batched, func.overloadpacket.__name__)(*args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self.seen:
            return
        self.seen.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, storage.nbytes())

    def _remove(self, size: int) -> None:
        self.now -= size


def peak_of_a_step(
    clips: int, frames: int, *, half: bool = False, recompute: bool = False, fake: bool = True
) -> int:
    """Bytes at the peak of the forward and backward pass of the paper's network, parameters included.

    Args:
        clips, frames: N and T; of 2 persons and 25 joints.
        half: under autocast.
        recompute: see the recognizer.
        fake: on tensors without contents.
    """
    with ExitStack() as stack:
        if fake:
            stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        memory = stack.enter_context(LiveMemory())
        model = build(dualhead_config() | dict(recompute=recompute)).train()
        x = torch.randn(clips, 1, 2, frames, 25, 3)
        with torch.autocast('cpu', enabled=half):
            logits, _ = model(x, mode='tensor')
        sum(scores.float().logsumexp(1).mean() for scores in logits).backward()
        return memory.peak


def make_table(frames: int) -> str:
    """GB for batches of several sizes."""
    rows = [f'| clips of {frames} frames | {" | ".join(FORMS)} |', f'| ---: |{" ---: |" * len(FORMS)}']
    for clips in CLIPS:
        cells = (f'{peak_of_a_step(clips, frames, **form) / 1e9:.1f}' for form in FORMS.values())
        rows.append(f'| {clips} | {" | ".join(cells)} |')
    return '\n'.join(rows)


if __name__ == '__main__':
    for number in (300, 100):
        print(make_table(number), end='\n\n', flush=True)

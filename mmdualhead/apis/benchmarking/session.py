"""A network ready to run: built, on its device, with a batch.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .lineup import TRAIN, Contestant, Shape

PRECISIONS = ('float32', 'tf32', 'bf16')
WALL, PROCESSOR = CLOCKS = ('wall', 'processor')
SGD = dict(lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the networks run.

    Args:
        shape: (N, M, T, V).
        threads: of the CPU.
        repeats: timed rounds.
        warmup: rounds before them.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...
        precision: ``'float32'``, ``'tf32'`` (CUDA only), or ``'bf16'``, which is autocast.
        clock: ``'wall'``, or ``'processor'`` for its processor seconds, which leave out waiting
            for a core that other work occupies; to be read with one thread.
        compile: the mode of torch.compile, None to leave it out; ``'reduce-overhead'`` uses CUDA graphs.

    Raises:
        ValueError: the precision is unknown or not to be had on the device, or there is no such device.
    """

    shape: Shape
    threads: int
    repeats: int = 7
    warmup: int = 2
    device: str = 'cpu'
    precision: str = 'float32'
    clock: str = WALL
    compile: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f'unknown precision {self.precision!r}; known: {PRECISIONS}')
        if self.on_cuda and not torch.cuda.is_available():
            raise ValueError(f'device {self.device!r}: this PyTorch sees no CUDA device')
        if self.precision == 'tf32' and not self.on_cuda:
            raise ValueError(f'tf32 needs a CUDA device, not {self.device!r}')
        if self.clock not in CLOCKS or (self.clock == PROCESSOR and self.on_cuda):
            raise ValueError(
                f'no clock {self.clock!r} for {self.device!r}; known: {CLOCKS}, the second for the CPU'
            )
        if min(self.shape) < 1 or self.repeats < 1 or self.warmup < 0 or self.threads < 1:
            raise ValueError(f'{self}: counts must be positive')

    @property
    def on_cuda(self) -> bool:
        return torch.device(self.device).type == 'cuda'

    def apply(self) -> None:
        """Set what PyTorch keeps for the whole process."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
            backend.allow_tf32 = self.precision == 'tf32'

    def autocast(self) -> AbstractContextManager:
        if self.precision != 'bf16':
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)


class Session:
    """A contestant ready to run.

    Args:
        contestant: the network and its kind of input.
        settings: how it runs.
    """

    def __init__(self, contestant: Contestant, settings: Settings) -> None:
        self.settings = settings
        self.phases = contestant.phases
        self.network = contestant.make().to(settings.device).train(TRAIN in contestant.phases)
        x = make_clips(settings.shape, contestant.channels, contestant.empty_bodies)
        self.clips = x.to(settings.device)
        self.labels = torch.zeros(len(x), dtype=torch.long, device=settings.device)
        self._optimizer: torch.optim.Optimizer | None = None
        self._run: nn.Module = self.network

    def compile(self, mode: str) -> None:
        """Run by torch.compile from now on."""
        self._run = torch.compile(self.network, mode=mode)

    def infer(self) -> tuple[Tensor, ...]:
        """One forward pass in eval mode."""
        self._switch(training=False)
        with torch.no_grad(), self.settings.autocast():
            return self._run(self.clips)

    def loss(self) -> Tensor:
        """The forward pass of a train step."""
        self._switch(training=True)
        with self.settings.autocast():
            return sum(F.cross_entropy(logits, self.labels) for logits in self._run(self.clips))

    def step(self) -> None:
        """Forward, backward, SGD."""
        if self._optimizer is None:
            self._optimizer = torch.optim.SGD(self.network.parameters(), **SGD)
        self._optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        self._optimizer.step()

    def call(self, phase: str) -> None:
        """Run a phase once."""
        if phase == TRAIN:
            self.step()
        else:
            self.infer()

    def _switch(self, training: bool) -> None:
        if self.network.training != training:
            self.network.train(training)


def make_clips(shape: Shape, channels: int, empty_bodies: float = 0.0) -> Tensor:
    """Random clips (N, M, T, V, C), whose last persons are absent from the given share of all bodies."""
    x = torch.randn(*shape, channels)
    absent = round(empty_bodies * shape.clips * shape.persons)
    by_person = [(clip, person) for person in reversed(range(shape.persons)) for clip in range(shape.clips)]
    for clip, person in by_person[:absent]:
        x[clip, person] = 0
    return x

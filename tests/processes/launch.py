"""The command ``mmdualhead train`` in processes of its own, started as launchers start them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.distributed as dist
from mmaction.models import ActionDataPreprocessor
from mmaction.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.runner import Runner, runner
from torch.nn.parallel import DistributedDataParallel

from mmdualhead.cli import main

KILLED = -signal.SIGKILL
ENVIRONMENTS = {
    'pytorch': ('WORLD_SIZE', 'RANK', 'LOCAL_RANK'),
    'slurm': ('SLURM_NTASKS', 'SLURM_PROCID', 'SLURM_LOCALID'),
}


@HOOKS.register_module()
class Recorder(Hook):
    """Writes the loss of every iteration to ``folder/losses_RANK``, and kills its process in one of them."""

    def __init__(self, folder: str, kill: Sequence[int] = ()) -> None:
        self.folder = Path(folder)
        self.kill = tuple(kill)

    def before_train_iter(self, runner: Runner, **_: Any) -> None:
        if self.kill == (runner.rank, runner.iter + 1):
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train_iter(self, runner: Runner, outputs: Mapping[str, Any], **_: Any) -> None:
        with (self.folder / f'losses_{runner.rank}').open('a') as file:
            file.write(f'{runner.iter + 1} {float(outputs["loss"])!r}\n')


def read_losses(folder: Path) -> dict[int, float]:
    """By iteration, the mean over its processes; of an iteration that ran twice, the second."""
    files = [file.read_text().split() for file in folder.glob('losses_*')]
    by_process = [dict(zip(map(int, words[::2]), map(float, words[1::2]), strict=True)) for words in files]
    iterations = sorted(set().union(*by_process))
    return {i: fmean(losses[i] for losses in by_process if i in losses) for i in iterations}


@MODELS.register_module()
class DoublePreprocessor(ActionDataPreprocessor):
    """Clips in double precision, for a network in double precision, since this is built before its parts."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_default_dtype(torch.float64)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        data = super().forward(data, training)
        return {**data, 'inputs': data['inputs'].double()}


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    backward = forward


def normalize_over_processes(norm: torch.nn.SyncBatchNorm, x: torch.Tensor) -> torch.Tensor:
    """What ``SyncBatchNorm.forward`` computes on a GPU, which has no kernel for a CPU."""
    if not norm.training:
        return torch.nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
    by_channel = x.transpose(0, 1).flatten(1)
    count = _SumOverProcesses.apply(x.new_tensor(by_channel.shape[1]))
    mean = _SumOverProcesses.apply(by_channel.sum(1)) / count
    variance = _SumOverProcesses.apply((by_channel - mean[:, None]).square().sum(1)) / count
    for buffer, new in ((norm.running_mean, mean), (norm.running_var, variance * count / (count - 1))):
        buffer.lerp_(new.detach(), norm.momentum)
    norm.num_batches_tracked += 1
    shape = (-1, *(1,) * (x.dim() - 2))
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return x * scale.view(shape) + (norm.bias - mean * scale).view(shape)


def start(folder: Path, *arguments: str, processes: int = 1, launcher: str = 'pytorch') -> list[int]:
    """Start ``mmdualhead train quickstart_j ARGUMENTS`` and return the processes' ids.

    Args:
        folder: where they run, which holds the data.
        arguments: of the command.
        processes: how many.
        launcher: in whose environment several start, ``'pytorch'`` for torchrun, or ``'slurm'``.
    """
    common = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port(), SLURM_NODELIST='127.0.0.1')
    count, rank_name, local_name = ENVIRONMENTS[launcher]
    command = ['train', 'quickstart_j', *(['--launcher', launcher] if processes > 1 else []), *arguments]
    started = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            _run(folder, command, rank, {**common, count: processes, rank_name: rank, local_name: rank})
        os.setpgid(child, child)
        started.append(child)
    return started


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('', 0))
        return free.getsockname()[1]


def _run(folder: Path, command: Sequence[str], rank: int, environment: Mapping[str, Any]) -> None:
    """Run a command in this process and end it."""
    status: Any = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ.update({name: str(value) for name, value in environment.items()})
        output = os.open(f'output_{rank}', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.stdout = sys.stderr = os.fdopen(output, 'w', buffering=1)
        os.dup2(output, 1)
        os.dup2(output, 2)
        warnings.simplefilter('ignore')
        runner.collect_env = dict  # takes a second
        torch.set_num_threads(1)  # a fork does not inherit OpenMP's threads and would wait for them forever
        torch.nn.SyncBatchNorm.forward = normalize_over_processes
        DistributedDataParallel._passing_sync_batchnorm_handle = lambda *_: None  # refuses CPUs
        status = main(command)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status if isinstance(status, int) else status is not None)


def wait(processes: Sequence[int], seconds: float = 300) -> list[int]:
    """The exit statuses; what still runs after this time is killed, which fails the test."""
    statuses: dict[int, int] = {}
    end = time.monotonic() + seconds
    while len(statuses) < len(processes):
        for process in set(processes) - set(statuses):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                statuses[process] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            running = set(processes) - set(statuses)
            for process in running:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
            raise TimeoutError(f'{len(running)} of {len(processes)} processes ran for {seconds:g} s')
        time.sleep(0.02)
    return [statuses[process] for process in processes]


def train(folder: Path, *arguments: str, seconds: float = 300, **how: Any) -> list[int]:
    """:func:`start` and :func:`wait`."""
    return wait(start(folder, *arguments, **how), seconds)


def descendants(process: int) -> list[int]:
    """The process and all that it has started."""
    children = [
        int(child)
        for task in Path(f'/proc/{process}/task').glob('*/children')
        for child in task.read_text().split()
    ]
    return [process, *(below for child in children for below in descendants(child))]


def options(**values: Any) -> list[str]:
    """``--cfg-options``; in the names of options two underscores are a dot."""
    return ['--cfg-options', *(f'{name.replace("__", ".")}={value}' for name, value in values.items())]

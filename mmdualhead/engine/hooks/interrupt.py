"""Stop a run on Ctrl-C or a signal without losing an iteration."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdualhead.engine.checkpoints import INTERRUPTED
from mmdualhead.engine.hooks.resume import buffers_of
from mmdualhead.utils.files import write_text

SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1') if hasattr(signal, name)
)
"""Ctrl-C; a scheduler's end; a closed terminal; Slurm's ``--signal=USR1``. Windows has the first two."""

ECHO = 5.0
"""Seconds within which all signals but Ctrl-C count once: schedulers and shells signal all processes of a
run, and launchers signal theirs again."""


def start_worker(worker: int, parent: int, then: Callable[[int], None] | None) -> None:
    """Let a data loading worker survive signals to the run.

    Schedulers and terminals signal all processes of a run. Workers continue, since the main process
    needs their batches to finish its step; only the main process itself ends them. Runs in the worker.

    Args:
        worker: its number.
        parent: the main process.
        then: the loader's own ``worker_init_fn``.
    """
    if os.getppid() == 1 != parent:  # it was killed before PyTorch's worker could look who it is
        os._exit(1)
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, args=(parent,), daemon=True).start()
    if then is not None:
        then(worker)


def _end_by_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves a checkpoint on any of :data:`SIGNALS`; ``--resume`` then continues with the next iteration.

    The iteration, or the validation, in progress is finished first. A second Ctrl-C stops immediately; any
    other second signal only after :data:`ECHO`. Under ``nohup`` a closed terminal has no effect. Signals to
    all processes, including workers, have the same effect as one to the main process.

    ``mim train`` interferes: Ctrl-C makes it kill the run a quarter of a second later, and SIGTERM ends only
    mim itself. ``mmdualhead train`` trains in its own process.

    Raises:
        SystemExit: after saving, with status 128 + the number of the signal: 130 on SIGINT, 143 on SIGTERM.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._received: int | None = None
        self._since = 0.0
        self._handlers: dict[int, Any] = {}
        self._pid = os.getpid()

    def before_train(self, runner: Runner) -> None:
        """Handle the signals, and shield the workers from them."""
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                then = loop.dataloader.worker_init_fn
                loop.dataloader.worker_init_fn = partial(start_worker, parent=os.getpid(), then=then)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == getattr(signal, 'SIGHUP', None) and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup
                # None denotes a handler that Python did not install and cannot restore.
                self._handlers[number] = signal.signal(number, self._receive) or signal.SIG_DFL

    def after_train_iter(self, runner: Runner, **_: Any) -> None:
        """Save and stop if a signal came."""
        self._stop_if_signaled(runner, {'epoch': runner.epoch, 'iter': runner.iter + 1})

    def after_train_epoch(self, runner: Runner) -> None:
        """Remove an outdated checkpoint of an interruption."""
        pointer = Path(runner.work_dir, 'last_checkpoint')
        if is_main_process() and pointer.is_file() and Path(pointer.read_text()).name != INTERRUPTED:
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)

    def after_val_epoch(self, runner: Runner, **_: Any) -> None:
        """Save and stop if a signal came during the validation."""
        self._stop_if_signaled(runner, {'epoch': runner.epoch, 'iter': runner.iter})

    def after_train(self, _runner: Runner) -> None:
        """Restore the previous signal handlers."""
        self._restore()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """The handler. Forked processes inherit it but must not save."""
        if os.getpid() != self._pid:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._received is None:
            self._received, self._since = number, time.monotonic()
            name = signal.Signals(number).name
            text = f'\n{name}: saving after the current step; press or send again to stop immediately\n'
            with suppress(OSError):  # the terminal may be closed
                os.write(2, text.encode())
        elif number == signal.SIGINT or time.monotonic() > self._since + ECHO:
            self._restore()
            os.kill(os.getpid(), number)

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _agree(self) -> int:
        """The signal that any of the processes has received, the same in all of them; 0 if none has."""
        number = self._received or 0
        if get_world_size() == 1:
            return number
        shared = torch.tensor(number, device='cuda' if torch.cuda.is_available() else 'cpu')
        all_reduce(shared, 'max')
        return int(shared)

    def _stop_if_signaled(self, runner: Runner, meta: dict[str, Any]) -> None:
        number = self._agree()
        if not number:
            return
        if get_world_size() > 1:  # the processes' running statistics differ until the epoch ends
            meta['buffers'] = all_gather_object(buffers_of(runner.model))
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta, backend_args={'backend': 'atomic'})
        path = Path(runner.work_dir, INTERRUPTED)
        if is_main_process():
            write_text(Path(runner.work_dir, 'last_checkpoint'), str(path))
        self._restore()
        self._received = None
        runner.logger.warning(
            'stopped by %s in epoch %d; saved as %s. Continue with the same command and --resume.',
            *(signal.Signals(number).name, meta['epoch'] + 1, path),
        )
        raise SystemExit(128 + number)

"""Stopping a training with Ctrl-C or SIGTERM without losing an iteration of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmdualhead.engine.checkpoints import AtomicBackend

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FILE = 'interrupted.pth'
"""The checkpoint that an interrupted training leaves in its work_dir."""


class Remaining:
    """A data loader without the batches that were already trained on."""

    def __init__(self, loader: Any, done: int) -> None:
        self.loader = loader
        self.done = done

    def __len__(self) -> int:
        return len(self.loader) - self.done

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self.loader), self.done, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Saves a checkpoint on SIGINT and SIGTERM; ``--resume`` then goes on with the next iteration.

    The iteration, or the validation, in progress is finished first. A second signal stops at once. The order
    of the clips depends on seed and epoch alone, so the resumed epoch sees the clips that it has not seen
    yet; the random state of augmentation is not restored.

    Under ``mim train``, Ctrl-C reaches mim too, which kills the training a quarter of a second later; that is
    too early for slow iterations. SIGTERM to the training itself, as schedulers send it, always works.

    Raises:
        SystemExit: after saving, with status 130 on SIGINT and 143 on SIGTERM.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._received: int | None = None
        self._handlers: dict[int, Any] = {}
        self._pid = os.getpid()
        self._skip: dict[str, int] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember how much of its epoch an interrupted training had done."""
        if runner._resume:
            self._skip = (checkpoint.get('meta') or {}).get('interrupted')

    def before_train(self, _runner: Runner) -> None:
        """Listen to the signals."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out the batches that the interrupted epoch had done."""
        skip, self._skip = self._skip, None
        loop = runner.train_loop
        if not skip or not isinstance(loop, EpochBasedTrainLoop):
            return
        if len(loop.dataloader) != skip['of']:
            loop._iter = loop.epoch * len(loop.dataloader)
            runner.logger.warning('the number of batches has changed: epoch %d starts anew', loop.epoch + 1)
            return
        runner.logger.info('epoch %d goes on after batch %d of %d', loop.epoch + 1, skip['done'], skip['of'])
        loop.dataloader = Remaining(loop.dataloader, skip['done'])

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Save and stop if a signal came."""
        number = self._agree()
        if not number:
            return
        loader, meta = runner.train_dataloader, {'epoch': runner.epoch, 'iter': runner.iter + 1}
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            before = loader.done if isinstance(loader, Remaining) else 0
            meta['interrupted'] = {'done': before + batch_idx + 1, 'of': before + len(loader)}
        self._save_and_stop(runner, number, meta)

    def after_train_epoch(self, runner: Runner) -> None:
        """Give the loop its own data loader back, and remove a checkpoint that has been overtaken."""
        if isinstance(runner.train_loop.dataloader, Remaining):
            runner.train_loop.dataloader = runner.train_loop.dataloader.loader
        pointer, file = Path(runner.work_dir, 'last_checkpoint'), Path(runner.work_dir, FILE)
        if (
            is_main_process()
            and file.is_file()
            and pointer.is_file()
            and Path(pointer.read_text()).name != FILE
        ):
            file.unlink()

    def after_val_epoch(self, runner: Runner, **_: Any) -> None:
        """Save and stop if a signal came during the validation."""
        number = self._agree()
        if number:
            self._save_and_stop(runner, number, {'epoch': runner.epoch, 'iter': runner.iter})

    def after_train(self, _runner: Runner) -> None:
        """Leave the signals to others again."""
        self._restore()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """The handler. Forked processes, such as data loading workers, inherit it but are not to save."""
        if os.getpid() != self._pid:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self._received = number
        self._restore()
        name = signal.Signals(number).name
        os.write(
            2, f'\n{name}: saving as soon as the current step is done; once more stops at once\n'.encode()
        )

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

    def _save_and_stop(self, runner: Runner, number: int, meta: dict[str, Any]) -> None:
        runner.save_checkpoint(runner.work_dir, FILE, meta=meta, backend_args={'backend': 'atomic'})
        path = Path(runner.work_dir, FILE)
        if is_main_process():
            AtomicBackend().put_text(str(path), Path(runner.work_dir, 'last_checkpoint'))
        self._restore()
        self._received = None
        runner.logger.warning(
            'stopped by %s in epoch %d; saved as %s. The same command with --resume goes on.',
            *(signal.Signals(number).name, meta['epoch'] + 1, path),
        )
        raise SystemExit(128 + number)

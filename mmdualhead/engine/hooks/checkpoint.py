"""Save checkpoints atomically, so that there is always a complete one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmdualhead.errors import UserError

OUTDATED = 'outdated_ckpts'
"""The key in the message hub, and so in a checkpoint, of the files to remove once it is complete."""


@contextmanager
def _in_words() -> Iterator[None]:
    """End the run without a traceback if the disk is full or cannot be written for another reason."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f'{error.strerror or error}. Earlier checkpoints are complete; --resume continues from the newest'
        ) from error


class _RemovesLater:
    """A file backend that records the files to remove in a message hub.

    mmengine's hook removes old files before it writes the new one.
    """

    def __init__(self, backend: BaseStorageBackend, hub: MessageHub) -> None:
        self.backend = backend
        self.hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Record the file's name."""
        self.hub.update_info(OUTDATED, [*self.hub.runtime_info.get(OUTDATED, ()), Path(path).name])

    def remove_noted(self, folder: str) -> None:
        """Remove the recorded files from a folder, except for the best one."""
        known = self.hub.runtime_info
        best = {Path(value).name for key, value in known.items() if key.startswith('best_ckpt') and value}
        for name in known.pop(OUTDATED, ()):
            path = self.backend.join_path(folder, Path(name).name)
            exists = name.endswith('.pth') and self.backend.isfile(path)
            if is_main_process() and exists and name not in best:
                self.backend.remove(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, but files are written atomically, and old ones are removed only afterwards.

    Args:
        backend_args: where to write; local disk by default.
        kwargs: see :class:`mmengine.hooks.CheckpointHook`.

    Raises:
        UserError: an argument is unknown.
    """

    file_backend: Any

    def __init__(self, *args: Any, backend_args: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or {'backend': 'atomic'}, **kwargs)
        # mmengine's hook passes unknown arguments on to this function only after an epoch.
        if unknown := self.args.keys() - inspect.signature(Runner.save_checkpoint).parameters:
            raise UserError(f'AtomicCheckpointHook got an unexpected keyword argument {min(unknown)!r}')

    def before_train(self, runner: Runner) -> None:
        """Remove the outdated files of a process that was killed between writing and removing."""
        super().before_train(runner)
        if last := runner.message_hub.runtime_info.get('last_ckpt'):  # into which a new best score is written
            self.last_ckpt = self.file_backend.join_path(self.out_dir, Path(last).name)
        self.file_backend = _RemovesLater(self.file_backend, runner.message_hub)
        self.file_backend.remove_noted(self.out_dir)

    def _save_checkpoint(self, runner: Runner) -> None:
        with _in_words():
            super()._save_checkpoint(runner)
        self.file_backend.remove_noted(self.out_dir)

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, Any]) -> None:
        wanted = [self.save_best] if isinstance(self.save_best, str) else self.save_best or []
        if unknown := [name for name in wanted if name not in {*metrics, 'auto'}]:
            raise UserError(f'save_best is {unknown[0]!r}, but the validation gives {", ".join(metrics)}')
        with _in_words():
            super()._save_best_checkpoint(runner, metrics)
            self._save_validated(runner)
        self.file_backend.remove_noted(self.out_dir)

    def _save_validated(self, runner: Runner) -> None:
        """Save the last checkpoint again, so that a complete run which is resumed isn't validated again."""
        step = runner.epoch if self.by_epoch else runner.iter
        newest = Path(self.last_ckpt or '').name
        if runner.iter >= runner.max_iters and newest == self.filename_tmpl.format(step):
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=runner.iter))

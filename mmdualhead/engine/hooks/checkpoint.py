"""Saving checkpoints so that there is a whole one at every moment."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdualhead.engine.checkpoints import RunError
from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.utils.plain_config import plain_config

OUTDATED = 'outdated_ckpts'
"""Where the message hub, and so a checkpoint, holds the names of the files that go once it is whole."""


@contextmanager
def _in_words() -> Iterator[None]:
    """End the run without a traceback if the disk is full, or can't be written for another reason."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f'{error}. The checkpoints before it are whole; --resume goes on from the newest'
        ) from error


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, but files are whole or absent, and old ones go once the new one is there.

    Args:
        backend_args: where to write; local disk by default.
        kwargs: see :class:`mmengine.hooks.CheckpointHook`.

    Raises:
        UserError: an argument is unknown.
    """

    def __init__(self, *args: Any, backend_args: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or {'backend': 'atomic'}, **kwargs)
        # What mmengine's hook does not know, it hands to this function, once an epoch is over.
        if unknown := self.args.keys() - inspect.signature(Runner.save_checkpoint).parameters:
            raise UserError(f'AtomicCheckpointHook got an unexpected keyword argument {min(unknown)!r}')

    def before_train(self, runner: Runner) -> None:
        """Remove what a process that was killed between writing and removing has left."""
        super().before_train(runner)
        hub = runner.message_hub

        def remove_later(path: str) -> None:
            hub.update_info(OUTDATED, [*hub.runtime_info.get(OUTDATED, ()), Path(path).name])

        # mmengine removes old files before it writes the new one.
        self._remove, self.file_backend.remove = self.file_backend.remove, remove_later
        self._remove_outdated(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write what the network takes into its meta, unless ConfigCheckHook did, which knows the data."""
        network_input = NetworkInput.of_config(runner.cfg, 'train_dataloader')
        checkpoint['meta'].setdefault('network_input', network_input.to_meta())
        checkpoint['meta'].setdefault('plain_config', plain_config(runner.cfg))

    def _save_checkpoint(self, runner: Runner) -> None:
        with _in_words():
            super()._save_checkpoint(runner)
        self._remove_outdated(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, Any]) -> None:
        with _in_words():
            super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated(runner)

    def _remove_outdated(self, runner: Runner) -> None:
        known = runner.message_hub.runtime_info
        best = {Path(value).name for key, value in known.items() if key.startswith('best_ckpt') and value}
        for name in known.pop(OUTDATED, ()):
            path = self.file_backend.join_path(self.out_dir, Path(name).name)
            is_there = name.endswith('.pth') and self.file_backend.isfile(path)
            if is_main_process() and is_there and name not in best:
                self._remove(path)

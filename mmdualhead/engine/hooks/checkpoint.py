"""Saving checkpoints so that there is a whole one at every moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_check import meta_of


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
    """

    max_keep_ckpts: int
    keep_ckpt_ids: deque[int]

    def __init__(self, *args: Any, backend_args: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or {'backend': 'atomic'}, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Remove what a process that was killed between writing and removing has left."""
        super().before_train(runner)
        for old in runner.message_hub.runtime_info.pop('outdated_ckpt_ids', []):
            self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write into its meta what the network was trained on."""
        checkpoint['meta'].update(meta_of(runner.cfg))

    def _save_checkpoint(self, runner: Runner) -> None:
        with _in_words():
            super()._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        if self.max_keep_ckpts <= 0:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
        outdated, kept = steps[: -self.max_keep_ckpts], steps[-self.max_keep_ckpts :]
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        runner.message_hub.update_info('outdated_ckpt_ids', outdated)

        # mmengine deletes before it writes, unless it is to keep everything.
        limit, self.max_keep_ckpts = self.max_keep_ckpts, -1
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = limit
        self.keep_ckpt_ids = deque(kept, limit)
        for old in outdated:
            self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, Any]) -> None:
        if not self.save_best:
            return
        before = self._best_paths()
        # mmengine deletes the old best before it writes the new one, unless it knows of none.
        self._set_best_paths(dict.fromkeys(before))
        with _in_words():
            super()._save_best_checkpoint(runner, metrics)
        after = {key: path or before.get(key) for key, path in self._best_paths().items()}
        self._set_best_paths(after)
        for path in set(before.values()) - set(after.values()):
            if path is not None:
                self._remove(path)

    def _best_paths(self) -> dict[str, str | None]:
        """The best checkpoint of each metric; by the empty name if there is one metric."""
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best_paths(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = paths

    def _remove(self, path: str) -> None:
        if is_main_process() and Path(path).name and self.file_backend.isfile(path):
            self.file_backend.remove(path)

"""Check the work_dir and the checkpoint that a run starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdualhead.engine.checkpoints import Checkpoint, drop_code, holds_run, newest_checkpoint
from mmdualhead.errors import UserError
from mmdualhead.utils.command import given
from mmdualhead.utils.files import FolderLock, remove_partial_files


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Checks the work_dir and the checkpoint that a run starts from.

    * A checkpoint must match the model completely, by name and shape.
    * ``--resume`` continues from the newest complete checkpoint. If there is none, it warns, and the run
      starts as it would without ``--resume``, from the weights of ``load_from`` if the config has it.
    * A run that is not resumed needs a work_dir without checkpoints of another run.
    * Only one run at a time can use a work_dir; partial files of killed runs are removed.

    Args:
        strict: False lets *training* start (``load_from``) from a checkpoint that matches partially, for
            fine-tuning. Testing and resuming always demand a full match.

    Raises:
        UserError: the checkpoint doesn't fit; the message names what is missing, unexpected or misshaped. Or
            the work_dir is in use, or contains another run.
    """

    priority = 'VERY_HIGH'

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self._lock: FolderLock | None = None
        self._has_begun = False

    def before_run(self, runner: Runner) -> None:
        """Lock the work_dir and choose the checkpoint to resume from; a test may follow the training."""
        if self._has_begun or not isinstance(runner._train_loop, BaseLoop):  # built when training starts
            return
        self._has_begun = True
        if is_main_process():
            self._lock_work_dir(runner)
        weights = runner._load_from
        takes_newest = weights is None or given('--resume') in ('', 'auto')
        if not runner._resume or not takes_newest:
            return
        path, ignored = newest_checkpoint(runner.work_dir)
        for reason in ignored:
            runner.logger.warning('ignored: %s', reason)
        if path is not None:
            runner._load_from = str(path)
            return
        runner._resume = False  # or mmengine would say that it resumes from None
        runner._load_from = weights or _load_from_of_file(runner.cfg)
        start = 'scratch' if runner._load_from is None else f'the weights of {runner._load_from} (load_from)'
        runner.logger.warning(
            '\n%s\nNOTHING TO RESUME: %s contains no complete checkpoint. Training starts from %s.\n%s',
            *('*' * 80, runner.work_dir, start, '*' * 80),
        )

    def _lock_work_dir(self, runner: Runner) -> None:
        self._lock = FolderLock(Path(runner.work_dir, 'training.lock'))
        try:
            self._lock.acquire()
        except BlockingIOError as error:
            raise UserError(f'{error}, which is training there; choose another --work-dir') from None
        if not runner._resume and holds_run(runner.work_dir):
            raise UserError(
                f'{runner.work_dir} contains the checkpoints of a run. Continue it with --resume, or start a '
                f'new one in another --work-dir'
            )
        remove_partial_files(runner.work_dir)

    def after_run(self, _runner: Runner) -> None:
        """Unlock the work_dir."""
        if self._lock is not None:
            self._lock.release()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model."""
        drop_code(checkpoint)
        loaded = Checkpoint(str(runner._load_from), checkpoint)
        if runner._resume and loaded.lacks:
            raise UserError(
                f'{loaded.source} cannot be resumed: it lacks {", ".join(loaded.lacks)}. To start a run from '
                f'its weights: --cfg-options load_from={loaded.source}, without --resume'
            )
        fit = loaded.fits(runner.model)
        if fit.is_full:
            return
        # The train loop is built, from its config, when training starts.
        is_training = isinstance(runner._train_loop, BaseLoop)
        if is_training and not self.strict and not runner._resume and fit.matched:
            runner.logger.warning('fine-tuning from a checkpoint that fits in part: %s', fit)
            return
        keys = '' if 'state_dict' in checkpoint else f' It has no state_dict, but {list(checkpoint)[:8]}.'
        advice = ''
        if is_training and not runner._resume:
            advice = ' To fine-tune from it anyway: --cfg-options default_hooks.load_check.strict=False'
        raise UserError(f'{loaded.source} does not fit the model: {fit}.{keys}{advice}')


def _load_from_of_file(config: Config) -> str | None:
    """``load_from`` as the config's file has it; MMAction2's tools/train.py clears it for ``--resume``."""
    file = config.filename
    return Config.fromfile(file).get('load_from') if file else None

"""Hooks that stop a run at the first sign that its result would be worthless, and say why."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdualhead.engine.checkpoint_meta import saved_config
from mmdualhead.engine.checkpoints import (
    RESUMABLE,
    RunError,
    drop_code,
    find_resumable,
    holds_run,
    match,
    non_finite,
    weights_of,
)
from mmdualhead.engine.config_check import config_faults, config_notes, input_notes, split_notes
from mmdualhead.engine.data_check import (
    LoaderData,
    check_against_training,
    check_evaluation,
    check_network,
    describe_training,
)
from mmdualhead.engine.findings import Fault, Note, tell
from mmdualhead.engine.runner import DataCheckRunner
from mmdualhead.utils.files import FolderLock, InUseError, remove_partial_files
from mmdualhead.utils.text import and_more

SHOWN = 16
"""How many clips an error message lists."""

HUGE = 1e12
"""Inputs from which on a network overflows."""


class NonFiniteError(RunError):
    """A NaN or an infinity where only numbers make sense."""


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Stops at the first loss, score or weight that is NaN or infinite.

    Raises:
        NonFiniteError: after the iteration whose loss or score is not finite, with the clips of its batch;
            before a checkpoint with such weights would be written, and after one was read.
    """

    priority = 'HIGH'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check the losses."""
        bad = [
            f'{name} is {float(value)}'
            for name, value in (outputs or {}).items()
            if not torch.as_tensor(value).isfinite().all()
        ]
        if bad:
            rate = next(iter(runner.optim_wrapper.get_lr().values()))[0]
            raise NonFiniteError(
                f'{", ".join(bad)} in epoch {runner.epoch + 1}, iteration {batch_idx + 1}, with learning '
                f'rate {rate:g}. {_describe(data_batch)}'
            )

    def after_val_iter(
        self, _runner: Runner, data_batch: Any = None, outputs: Sequence[Any] | None = None, **_: Any
    ) -> None:
        """Check the scores of the clips."""
        scored = zip(_clips(data_batch), outputs or (), strict=False)
        if bad := [clip for clip, sample in scored if _is_bad(sample)]:
            raise NonFiniteError(
                f'the scores of {and_more(bad, SHOWN)} are not finite. {_describe(data_batch)}'
            )

    after_test_iter = after_val_iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the weights."""
        bad = non_finite(checkpoint['state_dict'])
        if bad:
            raise NonFiniteError(
                f'{len(bad)} weights are not finite after iteration {runner.iter}, {bad[0]} first; they '
                f'are not saved'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the weights."""
        bad = non_finite(weights_of(checkpoint))
        if bad:
            raise NonFiniteError(
                f'{len(bad)} weights of the checkpoint {runner._load_from} are not finite, {bad[0]} first'
            )


@HOOKS.register_module()
class LoadCheckHook(Hook):
    """Checks what a run starts from.

    * A checkpoint has to fit the model in full, by name and shape.
    * ``--resume`` goes on from the newest whole checkpoint and says so loudly if there is none.
    * A training that isn't resumed needs a work_dir without another one's checkpoints.
    * One training at a time works in a work_dir; what killed ones left half written there is removed.

    Args:
        strict: False lets *training* start (``load_from``) from a checkpoint that fits in part, for
            fine-tuning. Testing and resuming always demand a full match.

    Raises:
        RunError: the checkpoint doesn't fit; the message names what is missing, unexpected or misshaped. Or
            the work_dir is in use, or holds another run.
    """

    priority = 'VERY_HIGH'

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self._lock: FolderLock | None = None
        self._has_begun = False

    def before_run(self, runner: Runner) -> None:
        """Take the work_dir and choose the checkpoint to resume from; a test may follow the training."""
        if self._has_begun or not isinstance(runner._train_loop, BaseLoop):  # built when training starts
            return
        self._has_begun = True
        if is_main_process():
            self._take(runner)
        if not runner._resume or runner._load_from is not None:
            return
        path, passed_over = find_resumable(runner.work_dir)
        for reason in passed_over:
            runner.logger.warning('%s; an older one is taken', reason)
        if path is not None:
            runner._load_from = str(path)
            return
        runner._resume = False  # or mmengine would say that it resumes from None
        runner.logger.warning(
            '\n%s\nNOTHING TO RESUME: %s holds no whole checkpoint. Training starts from scratch.\n%s',
            *('*' * 80, runner.work_dir, '*' * 80),
        )

    def _take(self, runner: Runner) -> None:
        lock = FolderLock(Path(runner.work_dir, 'training.lock'))
        try:
            lock.acquire()
        except InUseError as error:
            raise RunError(f'{error}, which trains there; choose another --work-dir') from None
        self._lock = lock
        if not runner._resume and holds_run(runner.work_dir):
            raise RunError(
                f'{runner.work_dir} holds the checkpoints of a run. Go on with it: --resume. Start another: '
                f'choose another --work-dir, or remove them'
            )
        remove_partial_files(runner.work_dir)

    def after_run(self, _runner: Runner) -> None:
        """Leave the work_dir to others."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model."""
        drop_code(checkpoint)
        missing = [key for key in RESUMABLE if key not in checkpoint]
        if runner._resume and missing:
            raise RunError(
                f'{runner._load_from} is not a training to go on with, it lacks {", ".join(missing)}. To '
                f'start one from its weights: --cfg-options load_from={runner._load_from}, without --resume'
            )
        fit = match(runner.model, checkpoint)
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
            advice = ' To fine-tune from it all the same: --cfg-options default_hooks.load_check.strict=False'
        raise RunError(f'{runner._load_from} does not fit the model: {fit}.{keys}{advice}')


@HOOKS.register_module()
class ConfigCheckHook(Hook):
    """Finds configs that would be obeyed but can't be meant.

    Warned of are:

    * a top-level key that nothing reads but that looks like one that is read;
    * a checkpoint that was trained on another stream, layout, normalization or protocol than it now meets, or
      on clips that it is now evaluated on;
    * training and evaluation on the same clips, at another scale, or with another normalization;
    * more or fewer classes than the data have, or more persons.

    Raises:
        RunError: training and evaluation are of different streams or units; the network takes other persons,
            joints, channels or another layout than the data have; a clip has a label that the network has no
            class for; a default hook has a misspelt name; ``--seed`` is given where the config's seed wins.
    """

    def __init__(self) -> None:
        self._data: dict[str, LoaderData] = {}
        self._trained: list[dict[str, Any]] = []

    def before_run(self, runner: Runner) -> None:
        """Look at the config, and at the data of the loaders that were built since the last time."""
        tell(config_notes(runner.cfg), runner.logger.warning)
        if not isinstance(runner, DataCheckRunner):  # which began with this
            tell(config_faults(runner.cfg))
        tell(_seed_faults(runner.cfg))
        loops = {'train': runner._train_loop, 'val': runner._val_loop, 'test': runner._test_loop}
        for phase, loop in loops.items():
            name = f'{phase}_dataloader'
            if name in self._data or not isinstance(loop, BaseLoop):
                continue
            data = self._data[name] = LoaderData(name, loop.dataloader.dataset)
            tell(check_network(runner.cfg, runner.model, data), partial(_warn_of_data, runner))
            train = self._data.get('train_dataloader', data)
            if train is not data:
                tell(check_evaluation(train, data), partial(_warn_of_data, runner))

    def before_save_checkpoint(self, _runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint remember what it was trained on, and what the one it began with was."""
        if described := self._describe():
            earlier = [trained for trained in self._trained if trained != described]
            checkpoint['meta']['trained_on'] = [*earlier, described]

    def _describe(self) -> dict[str, Any]:
        train = self._data.get('train_dataloader')
        return describe_training(train) if train is not None and train.sets else {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the data and the config of the checkpoint's training with the running ones."""
        meta = checkpoint.get('meta') or {}
        self._trained = list(meta.get('trained_on') or ())
        is_training = isinstance(runner._train_loop, BaseLoop)
        described = self._describe()
        for trained in self._trained:
            for data in self._data.values():
                if data.name == 'train_dataloader' or trained == described:
                    continue
                found = check_against_training(trained, data)
                # Somebody who trains on may do so in other units.
                tell(map(Note, found) if is_training else found, partial(_warn_of_data, runner))
        try:
            config = saved_config(meta)
            loader = 'train_dataloader' if is_training else 'test_dataloader'
            tell(input_notes(config, runner.cfg, loader), runner.logger.warning)
        except (SyntaxError, AttributeError, TypeError):
            runner.logger.warning('the config stored in the checkpoint cannot be read; nothing is compared')
            return
        if not is_training and not self._trained:
            tell(split_notes(config, runner.cfg), runner.logger.warning)


def _warn_of_data(runner: Runner, text: str) -> None:
    runner.logger.warning(f'CHECK THE DATA: {text}')


def _seed_faults(config: Mapping[str, Any]) -> Iterator[Fault]:
    """MMAction2's tools/train.py ignores ``--seed`` where the config has ``randomness``."""
    given = sys.argv[sys.argv.index('--seed') + 1 :][:1] if '--seed' in sys.argv else []
    used = str((config.get('randomness') or {}).get('seed'))
    if given and given[0] != used:
        yield Fault(
            f"--seed {given[0]} has no effect, since the config's randomness.seed={used} wins; "
            f'give --cfg-options randomness.seed={given[0]} instead'
        )


def _clips(data_batch: Any) -> list[str]:
    """The names of the clips of a batch; ``clip i of the batch`` where its data samples carry none."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else None
    metas = [getattr(sample, 'metainfo', {}) for sample in samples or ()]
    return [str(meta.get('frame_dir', f'clip {i} of the batch')) for i, meta in enumerate(metas)]


def _describe(data_batch: Any) -> str:
    """The clips of a batch, only those at fault if their input shows it."""
    clips = _clips(data_batch)
    inputs = data_batch.get('inputs', ()) if isinstance(data_batch, Mapping) else ()
    largest = {
        clip: float(torch.as_tensor(x).abs().max()) for clip, x in zip(clips, inputs, strict=False) if len(x)
    }
    if bad := [clip for clip, size in largest.items() if not math.isfinite(size)]:
        return f'The input of {and_more(bad, SHOWN)} is not finite.'
    if bad := [f'{clip} ({size:.3g})' for clip, size in largest.items() if size > HUGE]:
        return f'The input is finite, but huge, of {and_more(bad, SHOWN)}.'
    return f'The inputs are finite. Clips of the batch: {and_more(clips, SHOWN)}.'


def _is_bad(sample: Any) -> bool:
    """Whether one of the scores in a data sample is not finite."""
    values = sample.values() if hasattr(sample, 'values') else ()
    return any(
        isinstance(v, torch.Tensor) and v.is_floating_point() and not v.isfinite().all() for v in values
    )

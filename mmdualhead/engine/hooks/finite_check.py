"""Stop at the first NaN or infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdualhead.engine.checkpoints import Checkpoint, non_finite
from mmdualhead.errors import UserError
from mmdualhead.utils.text import and_more

MOST_CLIPS = 16
"""The number of clips that an error message names."""

HUGE = 1e12
"""The input from which a network may overflow."""


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Stops at the first loss, score or weight that is NaN or infinite.

    Raises:
        UserError: after the iteration whose loss or score is not finite, with the clips of its batch;
            before a checkpoint with such weights would be written, and after one was read.
    """

    priority = 'HIGH'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check the losses."""
        losses = outputs or {}
        if bad := [f'{name} is {losses[name]:g}' for name in non_finite(losses)]:
            rate = next(iter(runner.optim_wrapper.get_lr().values()))[0]
            raise UserError(
                f'{", ".join(bad)} in epoch {runner.epoch + 1}, iteration {batch_idx + 1}, with learning '
                f'rate {rate:g}. {_describe(data_batch)}'
            )

    def after_val_iter(
        self, _runner: Runner, data_batch: Any = None, outputs: Sequence[Any] | None = None, **_: Any
    ) -> None:
        """Check the scores of the clips."""
        scored = zip(_clips(data_batch), outputs or (), strict=False)
        if bad := [clip for clip, sample in scored if non_finite(sample)]:
            raise UserError(
                f'the scores of {and_more(bad, MOST_CLIPS)} are not finite. {_describe(data_batch)}'
            )

    after_test_iter = after_val_iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the weights."""
        Checkpoint(f'after iteration {runner.iter}, nothing is saved', checkpoint).check_finite()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the weights."""
        Checkpoint(str(runner._load_from), checkpoint).check_finite()


def _clips(data_batch: Any) -> list[str]:
    """The names of the clips of a batch; ``clip i of the batch`` if its data samples have none."""
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
        return f'The input of {and_more(bad, MOST_CLIPS)} is not finite.'
    if bad := [f'{clip} ({size:.3g})' for clip, size in largest.items() if size > HUGE]:
        return f'The input is finite, but huge, of {and_more(bad, MOST_CLIPS)}.'
    return f'The inputs are finite. Clips of the batch: {and_more(clips, MOST_CLIPS)}.'

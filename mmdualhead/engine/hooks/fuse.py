"""Test with the fused model."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdualhead.errors import UserError
from mmdualhead.models.fused import can_fuse, fuse
from mmdualhead.utils.half import slow_half


@HOOKS.register_module()
class FuseHook(Hook):
    """Tests with :func:`mmdualhead.models.fuse`, which gives the same scores faster.

    Models that cannot be fused are tested unchanged.

    Args:
        enabled: ``--cfg-options default_hooks.fuse.enabled=False`` tests the model as it was trained.
        half: test in half precision (bfloat16), as ``mmdualhead test --half`` does.
    """

    # After EMAHook, which puts the averaged weights in place.
    priority = 'LOWEST'

    def __init__(self, enabled: bool = True, half: bool = False) -> None:
        self.enabled = enabled
        self.half = half
        self._model: nn.Module | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Replace the model with the fused one.

        Raises:
            UserError: half precision is wanted, but the model cannot be fused or the processor is slow at it.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self.half and (reason := self._no_half(model)):
            raise UserError(f'half precision: {reason}')
        if self.enabled and can_fuse(model):
            self._model, runner.model = runner.model, fuse(model, torch.bfloat16 if self.half else None)
            precision = ' in half precision' if self.half else ''
            runner.logger.info(f'testing with the fused model{precision} (FuseHook)')

    def _no_half(self, model: nn.Module) -> str | None:
        if not (self.enabled and can_fuse(model)):
            return 'the model is not fused'
        return slow_half(next(model.parameters()).device)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Restore the model."""
        if self._model is not None:
            runner.model, self._model = self._model, None

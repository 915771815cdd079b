"""Test with the fused model."""

from __future__ import annotations

from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdualhead.models.fused import can_fuse, fuse


@HOOKS.register_module()
class FuseHook(Hook):
    """Tests with :func:`mmdualhead.models.fuse`, which gives the same scores faster.

    Models that cannot be fused are tested unchanged.

    Args:
        enabled: ``--cfg-options default_hooks.fuse.enabled=False`` tests the model as it was trained.
    """

    # After EMAHook, which puts the averaged weights in place.
    priority = 'LOWEST'

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._model: nn.Module | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Replace the model with the fused one."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self.enabled and can_fuse(model):
            self._model, runner.model = runner.model, fuse(model)
            runner.logger.info('testing with the fused model (FuseHook)')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Restore the model."""
        if self._model is not None:
            runner.model, self._model = self._model, None

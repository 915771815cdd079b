"""Schedules that follow ``max_epochs``, also where the command line changes it.

If a config omits them, ``T_max`` of MMEngine's ``CosineAnnealingLR`` and ``end`` of every scheduler do so.
Steps within training, such as the end of a warm-up, are shares of it in the schedulers below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.registry import PARAM_SCHEDULERS
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR

from mmdualhead.errors import UserError

LEAST = {'begin': 0, 'end': 2, 'milestones': 1}
"""The earliest step of each, so that the shortest run has a schedule: a ramp needs two steps."""


class _ShareMixin:
    """Scheduler whose ``begin``, ``end`` or ``milestones`` are shares of training.

    ``step = max(LEAST, round(share * number of epochs or iterations))``

    Args:
        *args: the scheduler's.
        shares: the share for each of these names, from 0 to 1; a list of them for ``milestones``.
        end: the length of training, which the runner sets unless the config does.
        **kwargs: further arguments of the scheduler.

    Raises:
        ValueError: a share is not within 0 and 1.
    """

    def __init__(
        self, *args: Any, shares: Mapping[str, float | Sequence[float]], end: int, **kwargs: Any
    ) -> None:
        def step(name: str, share: float) -> int:
            if not 0 <= share <= 1:
                raise UserError(
                    f'{type(self).__name__}: {name} is a share of training, 0 to 1, found {share}'
                )
            return max(LEAST[name], round(share * end))

        steps = {
            name: [step(name, one) for one in share] if isinstance(share, Sequence) else step(name, share)
            for name, share in shares.items()
        }
        super().__init__(*args, **{'end': end, **kwargs, **steps})


@PARAM_SCHEDULERS.register_module()
class ShareLinearLR(_ShareMixin, LinearLR):
    """MMEngine's ``LinearLR`` by shares of training: ``shares=dict(end=0.1)`` warms up in the first tenth."""


@PARAM_SCHEDULERS.register_module()
class ShareCosineAnnealingLR(_ShareMixin, CosineAnnealingLR):
    """MMEngine's ``CosineAnnealingLR`` by shares: ``shares=dict(begin=0.1)`` skips the first tenth."""


@PARAM_SCHEDULERS.register_module()
class ShareMultiStepLR(_ShareMixin, MultiStepLR):
    """MMEngine's ``MultiStepLR`` by shares of training: ``shares=dict(milestones=[0.5, 0.75])``."""

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, milestones: Sequence[int] = (), **kwargs: Any
    ) -> ShareMultiStepLR:
        """MMEngine's, for ``convert_to_iter_based=True``, but milestones may be shares."""
        return super().build_iter_from_epoch(*args, milestones=milestones, **kwargs)

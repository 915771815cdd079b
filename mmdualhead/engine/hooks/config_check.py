"""Where config, data, network and checkpoint are compared before a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdualhead.engine.checks import (
    LoaderData,
    check_checkpoint,
    check_config,
    check_evaluation,
    check_network,
    check_resume,
    sources_of,
)
from mmdualhead.errors import Finding, Level, report
from mmdualhead.network_input import NetworkInput
from mmdualhead.utils.plain_config import plain_config

PHASES = ('train', 'val', 'test')


@HOOKS.register_module()
class ConfigCheckHook(Hook):
    """Find likely mistakes in a run that would still start.

    Warned of are:

    * a top-level key that nothing reads but that looks like one that is read;
    * a checkpoint that was trained on another layout, stream, normalization or protocol than it now meets, or
      on clips that it is now evaluated on;
    * training and evaluation on the same clips, at another scale, or with another normalization;
    * more or fewer classes than the data have, or more persons;
    * values that have no effect on a run that is resumed.

    Every checkpoint then says what its network takes (``meta['network_input']``, a
    :class:`~mmdualhead.network_input.NetworkInput`), which clips it was trained on (``meta['trained_on']``)
    and its config as plain values (``meta['plain_config']``).

    Raises:
        UserError: training and evaluation are of different layouts, streams or units; the network takes other
            persons, joints, channels or another layout than the data have; a label has no class; ``--seed``
            is given where the config's seed wins; a run is resumed on other data or with another optimizer.
    """

    def __init__(self) -> None:
        self._data: dict[str, LoaderData] = {}
        self._began_with: list[dict[str, Any]] = []

    def before_run(self, runner: Runner) -> None:
        """Check the config, and the data of the loaders that were built since the last time."""
        report([*check_config(runner.cfg), *_check_seed(runner.cfg)], runner.logger.warning)
        for data in self._new_data(runner):
            train = self._data.get('train', data)
            found = list(check_network(runner.model, runner.cfg.get('model') or {}, data))
            found += check_evaluation(train, data) if train is not data else ()
            report(found, runner.logger.warning)

    def _new_data(self, runner: Runner) -> Iterator[LoaderData]:
        """The data of the loops that are built, each once."""
        for phase in PHASES:
            loop = getattr(runner, f'_{phase}_loop')
            if phase not in self._data and isinstance(loop, BaseLoop):
                name = f'{phase}_dataloader'
                declared = NetworkInput.of_config(runner.cfg, name)
                self._data[phase] = LoaderData(name, loop.dataloader.dataset, declared)
                yield self._data[phase]

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write into its meta what the network takes, and what it was trained on."""
        meta, train = checkpoint['meta'], self._data.get('train')
        meta['plain_config'] = plain_config(runner.cfg)
        if train is None or not train.sets:
            return
        meta['network_input'] = train.network_input.to_meta()
        earlier = [source for source in self._began_with if source not in train.source]
        meta['trained_on'] = [*earlier, *train.source]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare what the checkpoint was trained on with what it now meets."""
        meta = checkpoint.get('meta') or {}
        is_training = isinstance(runner._train_loop, BaseLoop)
        try:
            trained, self._began_with = NetworkInput.of_checkpoint(meta), sources_of(meta)
            if runner._resume:
                report(check_resume(meta, runner.cfg), runner.logger.warning)
        except SyntaxError:
            runner.logger.warning('the config stored in the checkpoint is not Python; nothing is compared')
            return
        for phase, data in self._data.items():
            if phase == 'train' and not is_training:
                continue
            found = check_checkpoint(trained, self._began_with, data)
            # Training continues from other data at the user's will.
            report((replace(one, level=Level.WARNING) for one in found) if is_training else found,
                   runner.logger.warning)  # fmt: skip


def _check_seed(config: Mapping[str, Any]) -> Iterator[Finding]:
    """MMAction2's tools/train.py ignores ``--seed`` where the config has ``randomness``."""
    given = sys.argv[sys.argv.index('--seed') + 1 :][:1] if '--seed' in sys.argv else []
    used = str((config.get('randomness') or {}).get('seed'))
    if given and given[0] != used:
        text = (
            f"has no effect, since the config's randomness.seed={used} wins; give --cfg-options "
            f'randomness.seed={given[0]} instead'
        )
        yield Finding(Level.ERROR, f'--seed {given[0]}', text)

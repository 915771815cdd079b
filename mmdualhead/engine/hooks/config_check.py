"""Where the checks of config, data and checkpoint are called before a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdualhead.engine.checkpoint_meta import saved_config
from mmdualhead.engine.config_check import config_faults, config_notes, input_notes, split_notes
from mmdualhead.engine.data_check import (
    LoaderData,
    check_against_training,
    check_evaluation,
    check_network,
    describe_training,
)
from mmdualhead.engine.findings import Fault, Note, report_findings
from mmdualhead.engine.runner import DataCheckRunner


@HOOKS.register_module()
class ConfigCheckHook(Hook):
    """Finds mistakes in configs that would run all the same.

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
        report_findings(config_notes(runner.cfg), runner.logger.warning)
        if not isinstance(runner, DataCheckRunner):  # which began with this
            report_findings(config_faults(runner.cfg))
        report_findings(_seed_faults(runner.cfg))
        loops = {'train': runner._train_loop, 'val': runner._val_loop, 'test': runner._test_loop}
        for phase, loop in loops.items():
            name = f'{phase}_dataloader'
            if name in self._data or not isinstance(loop, BaseLoop):
                continue
            data = self._data[name] = LoaderData(name, loop.dataloader.dataset)
            report_findings(check_network(runner.cfg, runner.model, data), partial(_warn_of_data, runner))
            train = self._data.get('train_dataloader', data)
            if train is not data:
                report_findings(check_evaluation(train, data), partial(_warn_of_data, runner))

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
                report_findings(map(Note, found) if is_training else found, partial(_warn_of_data, runner))
        try:
            config = saved_config(meta)
            loader = 'train_dataloader' if is_training else 'test_dataloader'
            report_findings(input_notes(config, runner.cfg, loader), runner.logger.warning)
        except (SyntaxError, AttributeError, TypeError):
            runner.logger.warning('the config stored in the checkpoint cannot be read; nothing is compared')
            return
        if not is_training and not self._trained:
            report_findings(split_notes(config, runner.cfg), runner.logger.warning)


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

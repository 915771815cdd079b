"""Compare config, data, network and checkpoint before a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmdualhead.engine.checkpoints import Checkpoint, unwrapped
from mmdualhead.engine.checks import (
    LoaderData,
    built_data,
    check_checkpoint,
    check_resume,
    check_run,
    sources_of,
)
from mmdualhead.errors import Level, report
from mmdualhead.utils.plain_config import plain_config


@HOOKS.register_module()
class ConfigCheckHook(Hook):
    """Find likely mistakes in a run that would still start.

    It warns of:

    * an unused top-level key that looks like a used one;
    * a checkpoint that was trained on another layout, stream, normalization or protocol than the data have,
      or on clips that it is now evaluated on;
    * training and evaluation on the same clips, at another scale, or with another normalization;
    * more or fewer classes than the data have, or more persons;
    * values without effect on a resumed run.

    Every checkpoint then contains the input of its network (``meta['network_input']``, a
    :class:`~mmdualhead.network_input.NetworkInput`), its training clips (``meta['trained_on']`` and,
    of their names, labels and lengths, ``meta['fingerprint']``) and its config as plain values
    (``meta['plain_config']``).

    Raises:
        UserError: training and evaluation have different layouts, streams or units; the persons, joints,
            channels or layout of network and data differ; a label has no class; ``--seed`` has no effect,
            since the config has a seed; a run is resumed on other data or with another optimizer.
    """

    def __init__(self) -> None:
        self._data: dict[str, LoaderData] = {}
        self._began_with: list[dict[str, Any]] = []

    def before_run(self, runner: Runner) -> None:
        """Check the config, and the data of the loaders that were built since the last time."""
        network = unwrapped(runner.model)
        new = {phase: data for phase, data in built_data(runner).items() if phase not in self._data}
        self._data |= new
        found = check_run(runner.cfg, network, list(new.values()), self._data.get('train'))
        report(found, runner.logger.warning)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store the input of the network and the training data in its meta."""
        meta, train = checkpoint['meta'], self._data.get('train')
        meta['plain_config'] = plain_config(runner.cfg)
        if train is None:
            return
        meta['network_input'] = train.network_input.to_meta()
        if not train.sets:  # nothing is known of their clips
            return
        meta['fingerprint'] = train.fingerprint
        named = meta.get('dataset_meta') or {}
        if named.get('classes'):  # of which the file may name more than the network has
            classes = list(named['classes'])[: train.network_input.num_classes]
            meta['dataset_meta'] = {**named, 'classes': classes}
        earlier = [source for source in self._began_with if source not in train.source]
        meta['trained_on'] = [*earlier, *train.source]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the training data of the checkpoint with the data of this run."""
        loaded = Checkpoint(str(runner._load_from), checkpoint)
        is_training = isinstance(runner._train_loop, BaseLoop)
        try:
            trained, self._began_with = loaded.input, sources_of(loaded.meta)
            if runner._resume:
                found = check_resume(loaded.meta, runner.cfg, self._data['train'].fingerprint)
                report(found, runner.logger.warning)
        except SyntaxError:
            runner.logger.warning('the config stored in the checkpoint is not Python; nothing is compared')
            return
        for phase, data in self._data.items():
            if phase == 'train' and not is_training:
                continue
            # A run may continue on the clips that it, or the one whose weights it has, was trained on.
            found = check_checkpoint(trained, () if phase == 'train' else self._began_with, data)
            if is_training:  # fine-tuning on other data is the user's choice
                found = (replace(one, level=Level.WARNING) for one in found)
            report(found, runner.logger.warning)

"""Is the config meant? What can be wrong with it although every program accepts it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmdualhead.datasets.annotations.splits import protocol_and_role
from mmdualhead.engine.checkpoint_meta import dataset_of, differences, network_input
from mmdualhead.engine.config_parts import closest, unknown_arguments
from mmdualhead.engine.findings import Fault, Note

OTHER_KEYS = (
    *('custom_imports', 'runner_type', 'activation_checkpointing', 'efficient_conv_bn_eval', 'compile'),
    *('find_unused_parameters', 'sync_bn', 'tta_model', 'tta_cfg', 'optim_wrapper', 'sampler'),
    *('model_wrapper_cfg', 'annotations'),
)
"""Top-level keys that are read although they are not arguments of mmengine's Runner."""

OLD_KEYS = {
    'lr_config': 'param_scheduler',
    'total_epochs': 'train_cfg.max_epochs',
    'data': 'train_dataloader',
    'optimizer_config': 'optim_wrapper',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger',
    'evaluation': 'train_cfg.val_interval',
}
"""Keys of MMAction 0.x and PYSKL, and what MMAction2 has in their place."""

STREAM_KEYS = ('stream', 'JointToBone', 'ToMotion')
"""Parts of the keys of a network's input that say which stream it is."""


def config_faults(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Certain mistakes: another argument or type than there is, a head for other features, two streams."""
    yield from map(Fault, unknown_arguments(config))
    given = ((config.get('model') or {}).get('cls_head') or {}).get('in_channels')
    channels = None if given is None else _feature_channels(config['model'])
    if channels not in (None, given):
        yield Fault(f'model.cls_head.in_channels is {given}, but the features have {channels} channels')
    yield from (found for found in _loader_conflicts(config) if isinstance(found, Fault))


def config_notes(config: Mapping[str, Any]) -> Iterator[Note]:
    """What is seldom meant: keys that nothing reads, loaders of other normalization or of the same clips."""
    for key, meant in misspelt_keys(config).items():
        yield Note(f'the config has {key!r}, which nothing reads. Is {meant!r} meant?')
    yield from (found for found in _loader_conflicts(config) if isinstance(found, Note))


def input_notes(
    trained: Mapping[str, Any], running: Mapping[str, Any], loader: str = 'test_dataloader'
) -> Iterator[Note]:
    """What a checkpoint was trained on by its config, if the running one gives it something else.

    Args:
        trained: the checkpoint's config.
        running: the running one.
        loader: the data loader that the network gets its clips from.
    """
    before, now = network_input(trained, 'train_dataloader'), network_input(running, loader)
    if before and before != now:
        found = '; '.join(differences(before, now))
        yield Note(f'THE CHECKPOINT WAS TRAINED ON OTHER INPUT than this config gives it: {found}')


def split_notes(trained: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[Note]:
    """Why a test is not one: its split is of another protocol than the checkpoint's training.

    Its clips may have been trained on, as are most of NTU's X-view test clips under X-sub.

    Args:
        trained: the checkpoint's config.
        running: the running one.
    """
    before, now = _clips(trained, 'train_dataloader')[1], _clips(running, 'test_dataloader')[1]
    if not before or not now:
        return
    if now == before or protocol_and_role(str(before))[0] != protocol_and_role(str(now))[0]:
        yield Note(
            'THE TEST MAY HOLD CLIPS OF THE TRAINING: the checkpoint was trained on split '
            f'{before!r}, now evaluated on {now!r}, which may hold clips of its training'
        )


def _feature_channels(model: Mapping[str, Any]) -> Any:
    """The channels of a network's features, by head where there are several; None if they can't be told."""
    try:
        with DefaultScope.overwrite_default_scope('mmaction'), torch.device('meta'):
            network = MODELS.build(ConfigDict(model))
            if hasattr(network, 'heads'):
                return {name: head.out_channels[-1] for name, head in network.heads.items()}
            if hasattr(network.backbone, 'out_channels'):
                return network.backbone.out_channels
            backbone = model['backbone']
            joints = network.backbone.graph.A.shape[-1]
            shape = (1, backbone.get('num_person', 2), 32, joints, backbone.get('in_channels', 3))
            return network.backbone(torch.empty(shape)).shape[2]
    except Exception:  # somebody else's network, or a wrong one, of which building it says more
        return None


def _loader_conflicts(config: Mapping[str, Any]) -> Iterator[Fault | Note]:
    """What the data loaders of one config contradict each other in."""
    train = network_input(config, 'train_dataloader')
    clips = _clips(config, 'train_dataloader')
    for loader in ('val_dataloader', 'test_dataloader'):
        evaluated = network_input(config, loader)
        if not train or not evaluated:
            continue
        for line in differences(train, evaluated, ('train_dataloader has', f'{loader} has')):
            if any(key in line.partition(':')[0] for key in STREAM_KEYS):
                yield Fault(f'training and evaluation are of different streams: {line}')
            else:
                yield Note(f'the data loaders of the config: {line}')
        if clips[1] and clips == _clips(config, loader):
            yield Note(f'train_dataloader and {loader} have the same clips, split {clips[1]!r}')


def _clips(config: Mapping[str, Any], loader: str) -> tuple[Any, Any]:
    """The annotation file and the split of a data loader."""
    dataset = dataset_of(config, loader)
    return dataset.get('ann_file'), dataset.get('split')


def misspelt_keys(config: Mapping[str, Any]) -> dict[str, str]:
    """Top-level keys that nothing reads although they seem to be meant.

    A config may define names of its own (``train_pipeline``, ``ann_file``), so unlike ones are left alone.
    But ``max_epochs = 5`` over a base whose ``train_cfg.max_epochs`` is 80 changes nothing.

    Returns:
        The key that was probably meant, for each such one.
    """
    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS} - {'self'}
    read = list(leaves((key, config[key]) for key in config if key in known))
    found = {}
    for key in config:
        if key not in known:
            found[key] = OLD_KEYS.get(key) or closest(key, known) or _overruled(key, config[key], read)
    return {key: meant for key, meant in found.items() if meant}


def _overruled(key: str, value: Any, read: Iterable[tuple[str, Any]]) -> str:
    """Where arguments of this name stand, if none of them has the value; else empty."""
    phase, _, last = key.rpartition('_')
    same = {
        path: found
        for path, found in read
        if path.endswith(f'.{key}') or (path.startswith(f'{phase}_dataloader.') and path.endswith(f'.{last}'))
    }
    return '' if value in same.values() else ' or '.join(list(same)[:3])


def leaves(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Some values by their places, and all values in them: ``('model.backbone.type', 'STGCN')``."""
    for path, value in values:
        yield path, value
        if isinstance(value, Mapping):
            yield from leaves((f'{path}.{key}', inner) for key, inner in value.items())
        elif isinstance(value, list | tuple):
            yield from leaves((f'{path}[{i}]', inner) for i, inner in enumerate(value))

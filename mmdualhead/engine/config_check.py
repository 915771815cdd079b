"""What can be wrong with a config although every program accepts it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmdualhead.datasets.annotations.splits import protocol_and_role
from mmdualhead.datasets.pipelines import step_name
from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_parts import closest, unknown_arguments

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

KEPT = (
    *('model', 'test_pipeline', 'train_cfg', 'default_scope'),
    *('train_dataloader', 'test_dataloader'),
)
"""The keys of a config that checkpoints keep as plain values."""

INPUT_STEPS = ('Normalize', 'Stream', 'SkeFeat', 'JointToBone', 'ToMotion')
"""Parts of the names of the pipeline steps that decide what the numbers of a clip mean."""

STREAM_KEYS = ('stream', 'JointToBone', 'ToMotion')
"""Parts of the keys of :func:`network_input` that say which stream enters the network."""


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a config that can't be meant, before anything is built by it.

    Raises:
        RunError: a part has an argument or a type that there is not, the loaders are of different streams, or
            the head takes other features than there are.
    """
    streams = [
        f'training and evaluation are of different streams: {line}' for line in loader_conflicts(config)[0]
    ]
    faults = [*unknown_arguments(config), *head_faults(config), *streams]
    if faults:
        raise RunError('\n  '.join(['the config is wrong:', *faults] if faults[1:] else faults))


def head_faults(config: Mapping[str, Any]) -> list[str]:
    """Another number of channels in the head than its features have."""
    model = config.get('model') or {}
    given = (model.get('cls_head') or {}).get('in_channels')
    features = None if given is None else _feature_channels(model)
    if features in (None, given):
        return []
    return [f'model.cls_head.in_channels is {given}, but the features have {features} channels']


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


def loader_conflicts(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What the data loaders of one config contradict each other in.

    Returns:
        Faults, which no one can mean: another stream in training than in evaluation. And warnings:
        another normalization, or clips that are trained on and evaluated on, too.
    """
    faults: list[str] = []
    warnings: list[str] = []
    train = network_input(config, 'train_dataloader')
    for loader in ('val_dataloader', 'test_dataloader'):
        evaluated = network_input(config, loader)
        if not train or not evaluated:
            continue
        for line in differences(train, evaluated, ('train_dataloader has', f'{loader} has')):
            is_stream = any(key in line.partition(':')[0] for key in STREAM_KEYS)
            (faults if is_stream else warnings).append(line)
        clips = [_clips_of(config, name) for name in ('train_dataloader', loader)]
        if clips[0][1] and clips[0] == clips[1]:
            warnings.append(f'train_dataloader and {loader} have the same clips, split {clips[0][1]!r}')
    return faults, warnings


def foreign_split(trained: Mapping[str, Any], running: Mapping[str, Any], loader: str) -> str:
    """Why a test is not one: its split belongs to another protocol than the checkpoint was trained on.

    Its clips may have been trained on, as are most of NTU's X-view test clips under X-sub.

    Args:
        trained: the checkpoint's config.
        running: the running one.
        loader: the data loader that is evaluated.

    Returns:
        One line; empty if nothing is wrong or nothing is known.
    """
    before, now = _clips_of(trained, 'train_dataloader')[1], _clips_of(running, loader)[1]
    if not before or not now:
        return ''
    if now != before and protocol_and_role(before)[0] == protocol_and_role(now)[0]:
        return ''
    return f'trained on split {before!r}, now evaluated on {now!r}, which may hold clips of its training'


def _clips_of(config: Mapping[str, Any], loader: str) -> tuple[Any, Any]:
    """The annotation file and the split of a data loader."""
    dataset = _dataset_of(config, loader)
    return dataset.get('ann_file'), dataset.get('split')


def _dataset_of(config: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """The data set of a data loader, within RepeatDataset and the like."""
    dataset = config.get(loader)
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset if isinstance(dataset, Mapping) else {}


def misspelt_keys(config: Mapping[str, Any]) -> dict[str, str]:
    """Top-level keys that nothing reads although they seem to be meant.

    A config may define names of its own (``train_pipeline``, ``ann_file``), so unlike ones are left alone.
    But ``max_epochs = 5`` over a base whose ``train_cfg.max_epochs`` is 80 changes nothing.

    Returns:
        The key that was probably meant, for each such one.
    """
    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS} - {'self'}
    values = [(key, config[key]) for key in config if key in known]
    found = {}
    for key in config:
        if key in known:
            continue
        meant = OLD_KEYS.get(key) or closest(key, known) or _overruled(key, config[key], values)
        if meant:
            found[key] = meant
    return found


def _overruled(key: str, value: Any, values: list[tuple[str, Any]]) -> str:
    """Where arguments of this name stand, if none of them has the value; else empty."""
    phase, _, last = key.rpartition('_')
    same = [
        (path, found)
        for path, found in leaves(values)
        if path.endswith(f'.{key}') or (path.startswith(f'{phase}_dataloader.') and path.endswith(f'.{last}'))
    ]
    return '' if any(found == value for _, found in same) else ' or '.join(path for path, _ in same[:3])


def leaves(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Some values by their places, and all values in them: ``('model.backbone.type', 'STGCN')``."""
    for path, value in values:
        yield path, value
        if isinstance(value, Mapping):
            yield from leaves((f'{path}.{key}', inner) for key, inner in value.items())
        elif isinstance(value, list | tuple):
            yield from leaves((f'{path}[{i}]', inner) for i, inner in enumerate(value))


def meta_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What checkpoints say of their training in ``meta``, as plain values that need no parsing.

    Returns:
        ``network_input``: the steps that decide what the numbers of a clip mean, among them ``stream``
        with its ``layout`` and ``normalization``, see :func:`network_input`. ``plain_config``: the
        config's :data:`KEPT` keys.
    """
    return {
        'network_input': network_input(config, 'train_dataloader'),
        'plain_config': {key: _plain(config[key]) for key in KEPT if key in config},
    }


def saved_config(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a checkpoint was trained by: as plain values, or, in an older one, read from its text.

    Returns:
        The keys of :data:`KEPT`, or more; none if the checkpoint has no config.

    Raises:
        SyntaxError: the text is not Python.
    """
    if isinstance(meta.get('plain_config'), Mapping):
        return dict(meta['plain_config'])
    return parse_config(meta.get('cfg') or '')


def parse_config(text: str) -> dict[str, Any]:
    """Read the text of a dumped config without executing it.

    Returns:
        The top-level keys whose values are plain: literals, lists, tuples and dicts of such.

    Raises:
        SyntaxError: it is not Python text.
    """
    plain = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                plain[statement.targets[0].id] = _evaluate(statement.value)
            except ValueError:
                continue
    return plain


def _evaluate(node: ast.AST) -> Any:
    """The value of a literal, in which ``dict(key=value)`` may stand for a dict."""
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=[]):
            return {keyword.arg: _evaluate(keyword.value) for keyword in node.keywords if keyword.arg}
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_evaluate(key): _evaluate(value) for key, value in pairs if key}
        case ast.List() | ast.Tuple():
            return [_evaluate(element) for element in node.elts]
        case _:
            return ast.literal_eval(node)


def network_input(config: Mapping[str, Any], loader: str) -> dict[str, Any]:
    """What a config says about the meaning of the numbers that enter the network.

    Args:
        config: the config.
        loader: the data loader to look at, for example ``'test_dataloader'``.

    Returns:
        The pipeline steps that normalize or form a stream, by name, with their arguments. Steps of ours and
        of MMAction2 that do the same have one name: ``stream`` and ``normalization``.
    """
    dataset = _dataset_of(config, loader)
    steps = [
        (step_name(dict(step)), step)
        for step in dataset.get('pipeline') or ()
        if isinstance(step, Mapping) and 'type' in step
    ]
    return dict(
        _meaning(name, _plain({key: value for key, value in step.items() if key != 'type'}))
        for name, step in steps
        if any(part in name for part in INPUT_STEPS)
    )


def _meaning(name: str, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of what a step does, and its arguments, the same for equal steps of ours and of MMAction2."""
    layout = said.get('layout', said.get('dataset', 'nturgb+d'))
    match name:
        case 'SkeletonStream':
            return 'stream', {'layout': layout, 'stream': said.get('stream')}
        case 'GenSkeFeat':
            return 'stream', {'layout': layout, 'stream': '+'.join(said.get('feats', ['j']))}
        case 'NormalizeSkeleton3D':
            return 'normalization', {'layout': layout, **said}
        case 'PreNormalize3D' if not said:
            return 'normalization', {'layout': layout}
    return name, said


def _plain(value: Any) -> Any:
    """A value in the form that a dumped and parsed config has it; a class or a function by its name."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else getattr(value, '__name__', str(value))


def differences(
    trained: Mapping[str, Any],
    running: Mapping[str, Any],
    words: tuple[str, str] = ('trained with', 'now'),
) -> list[str]:
    """What two results of :func:`network_input` differ in, one line each."""
    lines = []
    for key in dict.fromkeys([*trained, *running]):
        before, now = (found.get(key, 'absent') for found in (trained, running))
        if before != now:
            lines.append(f'{key}: {words[0]} {before!r}, {words[1]} {now!r}')
    return lines

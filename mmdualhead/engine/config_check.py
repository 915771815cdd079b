"""What can be wrong with a config although every program accepts it."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.runner import Runner

from mmdualhead.datasets.annotations.splits import protocol_and_role

OTHER_KEYS = (
    *('custom_imports', 'runner_type', 'activation_checkpointing', 'efficient_conv_bn_eval', 'compile'),
    *('find_unused_parameters', 'sync_bn', 'tta_model', 'tta_cfg', 'optim_wrapper', 'sampler'),
)
"""Top-level keys that are read although they are no arguments of mmengine's Runner."""

LIKENESS = 0.85
"""How like a known key (:meth:`difflib.SequenceMatcher.ratio`) an unknown one is that was meant to be it."""

INPUT_STEPS = ('Normalize', 'Stream', 'SkeFeat', 'JointToBone', 'ToMotion')
"""Parts of the names of the pipeline steps that decide what the numbers of a clip mean."""


HOOK_NAMES = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint', 'sync_buffers'),
    *('config_check', 'load_check', 'finite_check', 'resume', 'interrupt', 'fuse', 'visualization'),
)
"""Names in ``default_hooks``, mmengine's and ours."""

STREAM_KEYS = ('stream', 'JointToBone', 'ToMotion')
"""Parts of the keys of :func:`network_input` that say which stream enters the network."""


def misspelt_hooks(names: Iterable[str]) -> dict[str, str]:
    """The hook that was probably meant, for each name in ``default_hooks`` much like a known one."""
    likely = {name: difflib.get_close_matches(name, HOOK_NAMES, n=1, cutoff=LIKENESS) for name in names}
    return {name: found[0] for name, found in likely.items() if found and name not in HOOK_NAMES}


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
    dataset = (config.get(loader) or {}).get('dataset') or {}
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset if isinstance(dataset, Mapping) else {}


def misspelt_keys(keys: Iterable[str]) -> dict[str, str]:
    """Top-level keys that nothing reads but that look much like one that is read.

    A config may define names of its own (``train_pipeline``, ``ann_file``), so unlike ones are left alone.

    Returns:
        The key that was probably meant, for each misspelt one.
    """
    keys = list(keys)
    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS} - {'self'}
    likely = {
        key: difflib.get_close_matches(key.lower(), known, n=1, cutoff=LIKENESS)
        for key in keys
        if key not in known
    }
    return {key: found[0] for key, found in likely.items() if found}


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
    steps = [step for step in dataset.get('pipeline') or () if 'type' in step]
    return dict(
        _meaning(str(step['type']).rpartition('.')[2], _plain({k: v for k, v in step.items() if k != 'type'}))
        for step in steps
        if any(part in str(step['type']) for part in INPUT_STEPS)
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
    """A value in the form that a dumped and parsed config has it."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


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

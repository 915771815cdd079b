"""What a checkpoint says of its training: the config, and what the numbers meant that entered the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from mmdualhead.datasets.pipelines import step_name

KEPT = ('model', 'test_pipeline', 'train_cfg', 'default_scope', 'train_dataloader', 'test_dataloader')
"""The keys of a config that checkpoints keep as plain values."""

MOST_TEXT = 1 << 20
"""Characters in the text of a config; those of this package have some 10,000."""

INPUT_STEPS = ('Normalize', 'Stream', 'SkeFeat', 'JointToBone', 'ToMotion')
"""Parts of the names of the pipeline steps that decide what the numbers of a clip mean."""


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

    Nothing in the text is executed; of its keys those count whose values are literals, or dicts of such.

    Returns:
        The keys of :data:`KEPT`, or more; none if the checkpoint has no config.

    Raises:
        SyntaxError: the text is not Python, or not of the size and depth of a config.
    """
    if isinstance(meta.get('plain_config'), Mapping):
        return _plain(meta['plain_config'])
    text = meta.get('cfg') or ''
    if len(text) > MOST_TEXT:
        raise SyntaxError(f'it has {len(text):,} characters')
    try:
        return dict(_literals(text))
    except (RecursionError, MemoryError, ValueError) as error:  # ast ends so on deep text and on NUL
        raise SyntaxError(f'it is nested too deep, or not text: {error}') from None


def _literals(text: str) -> Iterator[tuple[str, Any]]:
    """The assignments in a text whose values are literals."""
    for statement in ast.parse(text).body:
        match _DictCalls().visit(statement):
            case ast.Assign(targets=[ast.Name(id=key), *_], value=value):
                try:
                    yield key, _plain(ast.literal_eval(value))
                except (ValueError, TypeError):
                    continue


class _DictCalls(ast.NodeTransformer):
    """Writes ``dict(key=value)`` as ``{'key': value}``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id='dict'), args=[]):
                named = [keyword for keyword in node.keywords if keyword.arg]
                return ast.Dict([ast.Constant(one.arg) for one in named], [one.value for one in named])
        return node


def _plain(value: Any) -> Any:
    """A value in the form that a dumped and parsed config has it; a class or a function by its name."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else getattr(value, '__name__', str(value))


def dataset_of(config: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    """The config of a data loader's data set, within RepeatDataset and the like; empty if there is none."""
    dataset = config.get(loader)
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset if isinstance(dataset, Mapping) else {}


def network_input(config: Mapping[str, Any], loader: str) -> dict[str, Any]:
    """What a config says about the meaning of the numbers that enter the network.

    Args:
        config: the config.
        loader: the data loader to look at, for example ``'test_dataloader'``.

    Returns:
        The pipeline steps that normalize or form a stream, by name, with their arguments. Steps of ours and
        of MMAction2 that do the same have one name: ``stream`` and ``normalization``.
    """
    found = {}
    for step in dataset_of(config, loader).get('pipeline') or ():
        if not isinstance(step, Mapping) or 'type' not in step:
            continue
        name, declared = step_name(dict(step)), _plain({key: step[key] for key in step if key != 'type'})
        layout = declared.get('layout', declared.get('dataset', 'nturgb+d'))
        if name == 'SkeletonStream':
            found['stream'] = {'layout': layout, 'stream': declared.get('stream')}
        elif name == 'GenSkeFeat':
            found['stream'] = {'layout': layout, 'stream': '+'.join(declared.get('feats', ['j']))}
        elif name == 'NormalizeSkeleton3D' or (name == 'PreNormalize3D' and not declared):
            found['normalization'] = {'layout': layout, **declared}
        elif any(part in name for part in INPUT_STEPS):
            found[name] = declared
    return found


def differences(
    trained: Mapping[str, Any],
    running: Mapping[str, Any],
    words: tuple[str, str] = ('trained with', 'now'),
) -> list[str]:
    """What two results of :func:`network_input` differ in, one line each."""
    return [
        f'{key}: {words[0]} {trained.get(key, "absent")!r}, {words[1]} {running.get(key, "absent")!r}'
        for key in {**trained, **running}
        if trained.get(key, 'absent') != running.get(key, 'absent')
    ]

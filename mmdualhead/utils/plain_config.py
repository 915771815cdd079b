"""Configs as plain values for checkpoints; nothing in them is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

SAVED_KEYS = (
    *('model', 'test_pipeline', 'train_cfg', 'default_scope', 'custom_imports', 'optim_wrapper'),
    *('param_scheduler', 'train_dataloader', 'test_dataloader'),
)
"""The keys of a config that checkpoints keep."""

MOST_TEXT = 1 << 20
"""Characters in the text of a config; those of this package have some 10,000."""


def plain(value: Any) -> Any:
    """A value as in a dumped and parsed config; a class or a function by its name."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else getattr(value, '__name__', str(value))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The :data:`SAVED_KEYS` keys of a config as plain values."""
    return {key: plain(config[key]) for key in SAVED_KEYS if key in config}


def saved_config(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a checkpoint was trained with: plain values, or, in an older one, read from its text.

    Nothing in the text is executed; keys are kept if their values are literals or dicts of literals.

    Returns:
        The keys of :data:`SAVED_KEYS`, or more; none if the checkpoint has no config.

    Raises:
        SyntaxError: the text is not Python, or not of the size and depth of a config.
    """
    if isinstance(meta.get('plain_config'), Mapping):
        return plain(meta['plain_config'])
    text = meta.get('cfg') or ''
    if len(text) > MOST_TEXT:
        raise SyntaxError(f'it has {len(text):,} characters')
    try:
        return dict(_literals(text))
    except (RecursionError, MemoryError, ValueError) as error:  # ast raises these on deep text and on NUL
        raise SyntaxError(f'it is nested too deep, or not text: {error}') from None


def _literals(text: str) -> Iterator[tuple[str, Any]]:
    """The assignments in a text whose values are literals."""
    for statement in ast.parse(text).body:
        match _DictCalls().visit(statement):
            case ast.Assign(targets=[ast.Name(id=key), *_], value=value):
                try:
                    yield key, plain(ast.literal_eval(value))
                except (ValueError, TypeError):
                    continue


class _DictCalls(ast.NodeTransformer):
    """Rewrites ``dict(key=value)`` as ``{'key': value}``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id='dict'), args=[]):
                named = [keyword for keyword in node.keywords if keyword.arg]
                return ast.Dict([ast.Constant(one.arg) for one in named], [one.value for one in named])
        return node

"""Configs as plain values, as checkpoints keep them: nothing in them is executed."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

KEPT = (
    *('model', 'test_pipeline', 'train_cfg', 'default_scope', 'custom_imports', 'optim_wrapper'),
    *('param_scheduler', 'train_dataloader', 'test_dataloader'),
)
"""The keys of a config that checkpoints keep."""


def plain(value: Any) -> Any:
    """A value in the form that a dumped and parsed config has it; a class or a function by its name."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else getattr(value, '__name__', str(value))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The :data:`KEPT` keys of a config as plain values."""
    return {key: plain(config[key]) for key in KEPT if key in config}


def saved_config(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a checkpoint was trained with: plain values, or, in an older one, read from its text.

    Nothing in the text is executed; of its keys those count whose values are literals, or dicts of such.

    Returns:
        The keys of :data:`KEPT`, or more; none if the checkpoint has no config.

    Raises:
        SyntaxError: the text is not Python.
    """
    if isinstance(meta.get('plain_config'), Mapping):
        return dict(meta['plain_config'])
    found = {}
    for statement in ast.parse(meta.get('cfg') or '').body:
        match _DictCalls().visit(statement):
            case ast.Assign(targets=[ast.Name(id=key), *_], value=value):
                try:
                    found[key] = plain(ast.literal_eval(value))
                except (ValueError, TypeError):
                    continue
    return found


class _DictCalls(ast.NodeTransformer):
    """Writes ``dict(key=value)`` as ``{'key': value}``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id='dict'), args=[]):
                named = [keyword for keyword in node.keywords if keyword.arg]
                return ast.Dict([ast.Constant(one.arg) for one in named], [one.value for one in named])
        return node

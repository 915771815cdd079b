"""Build the parts of a network from their configs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from mmaction.registry import MODELS
from torch import nn

from mmdualhead.errors import UserError


def build_part(cfg: Mapping[str, Any], **offered: Any) -> Any:
    """Build a registered part with the arguments that its constructor names.

    Args:
        cfg: its config; ``type`` is a name in mmaction's MODELS, or a class.
        offered: arguments known from the part's place, such as its channels. The part gets those that its
            constructor names, so that a constructor lists only what it uses; ``cfg`` takes precedence.

    Returns:
        The part.

    Raises:
        UserError: the type is not registered, requires an argument that it is not given, or is given one
            that it does not have.
    """
    part, parameters = _constructor(cfg)
    arguments = {**{name: value for name, value in offered.items() if _takes(cfg, name)}, **cfg}
    unknown = [name for name in cfg if name not in ('type', '_scope_') and not _takes(cfg, name)]
    if unknown:
        raise UserError(f'{part.__name__} has no argument {unknown[0]!r}; it has {", ".join(parameters)}')
    missing = [name for name, p in parameters.items() if _is_required(p) and name not in arguments]
    if missing:
        raise UserError(
            f'{part.__name__} needs {missing[0]!r}, which is given neither by its config nor by its place '
            f'({", ".join(offered)})'
        )
    return MODELS.build(arguments)


def build_block(cfg: Mapping[str, Any], *, stride: int, **offered: Any) -> Any:
    """Build a block of a backbone or a head.

    Args:
        cfg: its config.
        stride: s.
        offered: further arguments, for constructors that name them.

    Raises:
        UserError: the block has no stride, but this place needs one.
    """
    if stride != 1 and not _takes(cfg, 'stride'):
        name = _constructor(cfg)[0].__name__
        raise UserError(f'{name} has no stride, but its place needs a stride of {stride}')
    return build_part(cfg, stride=stride, **offered)


def require_counts(owner: str, **counts: int | Sequence[int]) -> None:
    """Check arguments that are counts or lists of counts.

    Raises:
        UserError: one is not an integer of at least 1.
    """
    for name, count in counts.items():
        for one in count if isinstance(count, Sequence) else (count,):
            if not isinstance(one, Integral) or one < 1:
                raise UserError(f'{owner}: {name}={count!r}, expected integers of at least 1')


def _takes(cfg: Mapping[str, Any], name: str) -> bool:
    """Whether the constructor of a part has an argument of this name."""
    parameters = _constructor(cfg)[1]
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _constructor(cfg: Mapping[str, Any]) -> tuple[Any, Mapping[str, inspect.Parameter]]:
    """The class that a config names, and the arguments of its constructor."""
    kind = cfg.get('type')
    part = MODELS.get(kind) if isinstance(kind, str) else kind
    if part is None:
        fault = f'{kind!r} is not registered in the MODELS of mmaction'
        raise UserError(fault if kind else f'a part has no type: {dict(cfg)}')
    if getattr(part, '__init__', None) is nn.Module.__init__:  # accepts **kwargs but uses none
        return part, {}
    return part, inspect.signature(part).parameters


def _is_required(parameter: inspect.Parameter) -> bool:
    """Whether a constructor requires this argument."""
    rest = (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return parameter.default is parameter.empty and parameter.kind not in rest

"""Building the parts of a network from their configs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmaction.registry import MODELS


def build_part(cfg: Mapping[str, Any], **offered: Any) -> Any:
    """Build a registered part and give it what it asks for.

    Args:
        cfg: its config; ``type`` is a name in mmaction's MODELS, or a class.
        offered: what the network knows about the place of the part, such as its channels. The part gets those
            that its constructor names, so that a constructor lists only what it uses; ``cfg`` goes first.

    Returns:
        The part.
    """
    part = cfg['type'] if isinstance(cfg['type'], type) else MODELS.get(cfg['type'])
    if part is None:
        raise KeyError(f'{cfg["type"]!r} is not registered in the MODELS of mmaction')
    parameters = inspect.signature(part).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    wanted = {name: value for name, value in offered.items() if takes_all or name in parameters}
    return MODELS.build({**wanted, **cfg})

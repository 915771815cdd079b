"""Look up registered parts by the names in a file, without importing."""

from __future__ import annotations

import sys
from typing import Any


def registered(registry: Any, name: str) -> Any:
    """The part registered under a name in a registry, or in one above it.

    MMEngine's own lookup imports the module of a dotted name, so it must not be used for names in files.

    Args:
        registry: one of MMEngine's.
        name: of a part, ``'RandomScale'``, possibly after a registry's scope (``'mmaction.RandomScale'``)
            or an imported module that has it (``'mmdualhead.models.TemporalAttention'``).

    Returns:
        The class or function; None if it is not registered.
    """
    before, _, last = name.rpartition('.')
    scopes = []
    found = None
    while registry is not None:
        registry.import_from_location()
        scopes.append(registry.scope)
        found = found or registry.module_dict.get(last)
        registry = registry.parent
    matches = not before or before in scopes or getattr(sys.modules.get(before), last, None) is found
    return found if matches else None

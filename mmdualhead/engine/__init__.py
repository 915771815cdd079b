"""What surrounds a run: hooks, and checkpoint files."""

from . import hooks

__all__ = ['hooks']

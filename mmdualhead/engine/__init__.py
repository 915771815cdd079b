"""What surrounds a run: hooks, schedules, and checkpoint files."""

from . import hooks, schedulers

__all__ = ['hooks', 'schedulers']

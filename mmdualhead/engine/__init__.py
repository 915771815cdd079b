"""What surrounds a run: runner, hooks, schedules, and checkpoint files."""

from . import hooks, runner, schedulers

__all__ = ['hooks', 'runner', 'schedulers']

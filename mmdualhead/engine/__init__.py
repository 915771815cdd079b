"""Runner, hooks, schedules, loaders and checkpoint files."""

from . import hooks, runner, schedulers

__all__ = ['hooks', 'runner', 'schedulers']

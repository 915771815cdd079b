"""Hooks that keep a run safe and its test fast, registered in mmaction's HOOKS."""

from .checkpoint import AtomicCheckpointHook
from .config_check import ConfigCheckHook
from .finite_check import FiniteCheckHook
from .fuse import FuseHook
from .interrupt import InterruptHook
from .load_check import LoadCheckHook
from .resume import ResumeHook

__all__ = [
    'AtomicCheckpointHook',
    'ConfigCheckHook',
    'FiniteCheckHook',
    'FuseHook',
    'InterruptHook',
    'LoadCheckHook',
    'ResumeHook',
]

"""Hooks that keep a run safe and its test fast, registered in mmaction's HOOKS."""

from .checkpoint import AtomicCheckpointHook
from .checks import ConfigCheckHook, FiniteCheckHook, LoadCheckHook
from .fuse import FuseHook
from .interrupt import InterruptHook
from .resume import ResumeHook
from .show import ShowValidationHook

__all__ = [
    'AtomicCheckpointHook',
    'ConfigCheckHook',
    'FiniteCheckHook',
    'FuseHook',
    'InterruptHook',
    'LoadCheckHook',
    'ResumeHook',
    'ShowValidationHook',
]

"""Running models: from Python, and safely."""

from .checkpoint_hook import AtomicCheckpointHook
from .hooks import ConfigCheckHook, FiniteCheckHook, LoadCheckHook
from .interrupt_hook import InterruptHook

__all__ = ['AtomicCheckpointHook', 'ConfigCheckHook', 'FiniteCheckHook', 'InterruptHook', 'LoadCheckHook']

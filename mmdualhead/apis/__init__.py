"""Running models: from Python, and safely."""

from mmdualhead.models.inference import fuse

from .checkpoint_hook import AtomicCheckpointHook
from .convert import convert_checkpoint
from .fuse_hook import FuseHook
from .hooks import ConfigCheckHook, FiniteCheckHook, LoadCheckHook
from .interrupt_hook import InterruptHook

__all__ = [
    'AtomicCheckpointHook',
    'ConfigCheckHook',
    'FiniteCheckHook',
    'FuseHook',
    'InterruptHook',
    'LoadCheckHook',
    'convert_checkpoint',
    'fuse',
]

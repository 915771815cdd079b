"""Data sets, pipeline steps and converters.

What needs PyTorch is imported when it is asked for, so that the converters start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmdualhead.utils.pickles import load_annotations

from .annotations import Store, StoreWriter, open_annotations, open_store, write_store

if TYPE_CHECKING:
    from .skeleton_dataset import SkeletonDataset
    from .transforms import *  # noqa: F403

__all__ = [
    'SkeletonDataset',
    'Store',
    'StoreWriter',
    'load_annotations',
    'open_annotations',
    'open_store',
    'write_store',
]


def __getattr__(name: str) -> Any:
    if name == 'SkeletonDataset':
        return import_module('.skeleton_dataset', __name__).SkeletonDataset
    if name[0].isupper() and hasattr(transforms := import_module('.transforms', __name__), name):
        return getattr(transforms, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

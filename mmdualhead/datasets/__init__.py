"""Data sets, pipeline steps and converters."""

from mmdualhead.utils.pickles import load_annotations

from .annotations import Store, StoreWriter, open_annotations, open_store, write_store
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

"""Annotation files: reading, checking and storing them."""

from .checks import AnnotationError
from .files import open_annotations
from .store import Store, StoreWriter, open_store, write_store

__all__ = ['AnnotationError', 'Store', 'StoreWriter', 'open_annotations', 'open_store', 'write_store']

"""Annotation files: reading, checking and storing them."""

from .files import open_annotations
from .store import Store, StoreWriter, open_store, write_store

__all__ = ['Store', 'StoreWriter', 'open_annotations', 'open_store', 'write_store']

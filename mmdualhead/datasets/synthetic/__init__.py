"""A small data set of moving persons that is generated, not downloaded."""

from .dataset import CLASSES, generate, to_bytes, write

__all__ = ['CLASSES', 'generate', 'to_bytes', 'write']

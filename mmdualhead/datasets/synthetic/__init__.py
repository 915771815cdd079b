"""A small data set of moving persons that is generated, without a download."""

from .dataset import CLASSES, generate

__all__ = ['CLASSES', 'generate']

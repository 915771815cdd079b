"""A small data set of moving persons that is generated, not downloaded."""

from .dataset import CLASSES, generate

__all__ = ['CLASSES', 'generate']

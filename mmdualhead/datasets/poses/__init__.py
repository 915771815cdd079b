"""Persons that an estimator of poses found: in frames, as tracks, and in its files."""

from .persons import Person, gather
from .tracker import Tracker

__all__ = ['Person', 'Tracker', 'gather']

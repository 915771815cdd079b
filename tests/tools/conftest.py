"""A trained model and recordings for it."""

from tests.apis.conftest import checkpoint, recording

__all__ = ['checkpoint', 'recording']

"""Pictures."""

from .figures import draw_confusion, draw_errors, draw_gains, draw_reliability

__all__ = ['draw_confusion', 'draw_errors', 'draw_gains', 'draw_reliability']

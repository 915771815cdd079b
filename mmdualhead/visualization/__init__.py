"""Pictures and pages of answers and errors, and the hook that shows validations."""

from .figures import draw_confusion, draw_errors, draw_gains, draw_reliability
from .hook import ShowValidationHook

__all__ = ['ShowValidationHook', 'draw_confusion', 'draw_errors', 'draw_gains', 'draw_reliability']

"""From the raw recordings of the field's data sets, or your own, to an annotation file."""

from .recording import Clip, EmptyRecording, RawDataset, Recording
from .runner import convert
from .summary import Summary
from .writers import write_pickle

__all__ = [
    'Clip',
    'EmptyRecording',
    'RawDataset',
    'Recording',
    'Summary',
    'convert',
    'write_pickle',
]

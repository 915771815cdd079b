"""From the raw recordings of the field's data sets, or one's own, to an annotation file."""

from .recording import Clip, ConversionError, EmptyRecording, MalformedRecording, RawDataset, Recording
from .runner import convert
from .summary import Summary
from .writers import write_pickle

__all__ = [
    'Clip',
    'ConversionError',
    'EmptyRecording',
    'MalformedRecording',
    'RawDataset',
    'Recording',
    'Summary',
    'convert',
    'write_pickle',
]

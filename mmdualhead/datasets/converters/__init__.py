"""From the raw recordings of the field's data sets, or one's own, to an annotation file."""

from .recording import Clip, ConversionError, EmptyRecording, MalformedRecording, RawDataset, Recording
from .runner import convert
from .sinks import PickleSink, Sink
from .summary import Summary

__all__ = [
    'Clip',
    'ConversionError',
    'EmptyRecording',
    'MalformedRecording',
    'PickleSink',
    'RawDataset',
    'Recording',
    'Sink',
    'Summary',
    'convert',
]

"""Convert the raw recordings of common data sets, or your own, to an annotation file."""

from mmdualhead.datasets.recording import Clip, EmptyRecording, Recording

from .raw_dataset import RawDataset
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

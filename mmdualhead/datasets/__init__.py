"""Data sets, transforms and converters."""

from mmdualhead.datasets.formatting import FormatSkeletonInput
from mmdualhead.datasets.normalize import NormalizeSkeleton3D
from mmdualhead.datasets.safe_pickle import load_annotations
from mmdualhead.datasets.sampling import ReplayPad, UniformSampleClips
from mmdualhead.datasets.skeleton_dataset import SkeletonDataset
from mmdualhead.datasets.streams import SkeletonStream

__all__ = [
    'FormatSkeletonInput',
    'NormalizeSkeleton3D',
    'ReplayPad',
    'SkeletonDataset',
    'SkeletonStream',
    'UniformSampleClips',
    'load_annotations',
]

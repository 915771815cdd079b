"""Data sets, transforms and converters."""

from mmdualhead.datasets.annotations import open_annotations
from mmdualhead.datasets.augment import (
    JointDropout,
    JointJitter,
    MirrorSkeleton,
    RandomRotate3D,
    RandomScale,
    RandomShear,
    TemporalCropResize,
)
from mmdualhead.datasets.checks import AnnotationError
from mmdualhead.datasets.formatting import FormatSkeletonInput
from mmdualhead.datasets.normalize import NormalizeSkeleton3D
from mmdualhead.datasets.safe_pickle import load_annotations
from mmdualhead.datasets.sampling import ReplayPad, UniformSampleClips
from mmdualhead.datasets.skeleton_dataset import SkeletonDataset
from mmdualhead.datasets.store import Store, StoreWriter, open_store, write_store
from mmdualhead.datasets.streams import SkeletonStream

__all__ = [
    'AnnotationError',
    'FormatSkeletonInput',
    'JointDropout',
    'JointJitter',
    'MirrorSkeleton',
    'NormalizeSkeleton3D',
    'RandomRotate3D',
    'RandomScale',
    'RandomShear',
    'ReplayPad',
    'SkeletonDataset',
    'SkeletonStream',
    'Store',
    'StoreWriter',
    'TemporalCropResize',
    'UniformSampleClips',
    'load_annotations',
    'open_annotations',
    'open_store',
    'write_store',
]

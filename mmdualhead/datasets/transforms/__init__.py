"""Pipeline steps, registered in mmaction's TRANSFORMS."""

from .augment import (
    JointDropout,
    JointJitter,
    MirrorSkeleton,
    RandomRotate3D,
    RandomScale,
    RandomShear,
    TemporalCropResize,
)
from .formatting import FormatSkeletonInput
from .normalize import NormalizeSkeleton3D, StretchSkeleton
from .sampling import ReplayPad, SortedSampleFrames, UniformSampleClips
from .streams import SkeletonStream, register_stream

__all__ = [
    'FormatSkeletonInput',
    'JointDropout',
    'JointJitter',
    'MirrorSkeleton',
    'NormalizeSkeleton3D',
    'RandomRotate3D',
    'RandomScale',
    'RandomShear',
    'ReplayPad',
    'SkeletonStream',
    'SortedSampleFrames',
    'StretchSkeleton',
    'TemporalCropResize',
    'UniformSampleClips',
    'register_stream',
]

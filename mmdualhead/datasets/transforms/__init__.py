"""Pipeline steps, registered in mmaction's TRANSFORMS."""

from .augment import (
    JointDropout,
    JointJitter,
    MirrorSkeleton,
    RandomBoneLengths,
    RandomRotate3D,
    RandomScale,
    RandomShear,
    TemporalCropResize,
)
from .body import FillGaps, NormalizeByBody
from .camera import VirtualCamera
from .formatting import FormatSkeletonInput
from .normalize import NormalizeSkeleton3D, StretchSkeleton
from .sampling import ReplayPad, SortedSampleFrames, UniformSampleClips
from .streams import SkeletonStream, register_stream

__all__ = [
    'FillGaps',
    'FormatSkeletonInput',
    'JointDropout',
    'JointJitter',
    'MirrorSkeleton',
    'NormalizeByBody',
    'NormalizeSkeleton3D',
    'RandomBoneLengths',
    'RandomRotate3D',
    'RandomScale',
    'RandomShear',
    'ReplayPad',
    'SkeletonStream',
    'SortedSampleFrames',
    'StretchSkeleton',
    'TemporalCropResize',
    'UniformSampleClips',
    'VirtualCamera',
    'register_stream',
]

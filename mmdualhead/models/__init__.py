"""The network's parts, registered in mmaction's MODELS."""

from .attention import (
    SpatialCrossAttention,
    SpatialSelfAttention,
    TemporalCrossAttention,
    TemporalSelfAttention,
)
from .backbone import STGCBackbone
from .block import SkeletonGraph, STGCBlock
from .classifier import DualHeadClassifier
from .heads import CoarseHead, FineHead
from .inference import fuse
from .layers import MSG3D, MSGCN, MSTCN
from .recognizer import DualHeadRecognizer

__all__ = [
    'MSG3D',
    'MSGCN',
    'MSTCN',
    'CoarseHead',
    'DualHeadClassifier',
    'DualHeadRecognizer',
    'FineHead',
    'STGCBackbone',
    'STGCBlock',
    'SkeletonGraph',
    'SpatialCrossAttention',
    'SpatialSelfAttention',
    'TemporalCrossAttention',
    'TemporalSelfAttention',
    'fuse',
]

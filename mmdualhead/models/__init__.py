"""The network's parts, registered in mmaction's MODELS."""

from mmdualhead.models.fused import fuse

from .attention import SpatialAttention, TemporalAttention
from .backbone import STGCBackbone
from .block import SkeletonGraph, STGCBlock
from .classifier import DualHeadClassifier
from .ctrgc import CTRGC, CTRGCBlock
from .heads import CoarseHead, FineHead, Head
from .layers import MSG3D, MSGCN, MSTCN
from .recognizer import DualHeadRecognizer

__all__ = [
    'CTRGC',
    'MSG3D',
    'MSGCN',
    'MSTCN',
    'CTRGCBlock',
    'CoarseHead',
    'DualHeadClassifier',
    'DualHeadRecognizer',
    'FineHead',
    'Head',
    'STGCBackbone',
    'STGCBlock',
    'SkeletonGraph',
    'SpatialAttention',
    'TemporalAttention',
    'fuse',
]

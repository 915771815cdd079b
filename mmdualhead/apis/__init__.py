"""What a user calls from Python."""

from mmdualhead.models.fused import fuse

from .answer import Answer
from .convert import convert_checkpoint
from .inferencer import SkeletonInferencer

__all__ = ['Answer', 'SkeletonInferencer', 'convert_checkpoint', 'fuse']

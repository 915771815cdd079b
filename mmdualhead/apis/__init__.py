"""What a user calls from Python."""

from mmdualhead.models.fused import fuse

from .convert import convert_checkpoint

__all__ = ['convert_checkpoint', 'fuse']

"""What a user calls from Python.

From a recording to an answer, in the order of the work:

* ``inferencer``: :class:`SkeletonInferencer`, which leads through all of it;
* ``recordings``: which recordings are in what the user names; ``readers``: one of them, read;
* ``fit``: whether a network can answer it, and its layout, axes, unit and picture as the network takes them;
* ``trained``: a model from the disk; ``forward``: its pipeline and its pass over a recording.

What comes out is an :class:`~mmdualhead.evaluation.answer.Answer`: values, JSON, CSV and a table.

On top of it: ``streaming`` labels live streams, ``occlusion`` says what an answer depends on.

Models as files: ``convert`` takes the authors' checkpoints, ``packing`` writes small files, ``export`` ONNX
files (of the network in ``exported``).
"""

from mmdualhead.evaluation.answer import Answer
from mmdualhead.models.fused import fuse

from .convert import convert_checkpoint
from .inferencer import SkeletonInferencer

__all__ = ['Answer', 'SkeletonInferencer', 'convert_checkpoint', 'fuse']

"""The Python interface.

From a recording to a prediction, in order:

* ``inferencer``: :class:`SkeletonInferencer`, the entry point;
* ``recordings``: finds the recordings in the inputs; ``readers``: reads one of them;
* ``fit``: checks it and converts layout, axes, unit and image coordinates to the form of the network;
* ``trained``: loads a model; ``forward``: runs its pipeline and its network on a recording.

The result is an :class:`~mmdualhead.evaluation.answer.Answer`: values, JSON, CSV and a table.

On top of it: ``streaming`` labels live streams, ``occlusion`` shows what a prediction depends on.

Models as files: ``convert`` converts the authors' checkpoints, ``packing`` writes small files, ``export``
ONNX files (of the network in ``exported``).
"""

from mmdualhead.evaluation.answer import Answer
from mmdualhead.models.fused import fuse

from .convert import convert_checkpoint
from .inferencer import SkeletonInferencer

__all__ = ['Answer', 'SkeletonInferencer', 'convert_checkpoint', 'fuse']

"""Where converted clips go: a PoseDataset pickle as MMAction2 reads it, or anything of the same interface.

The store that stays on disk, :class:`mmdualhead.datasets.annotations.store.StoreWriter`, has it.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmdualhead.utils.files import atomic_write


class Writer(Protocol):
    """Takes the clips one by one; the result appears, whole, with :meth:`close`, or not at all."""

    def __enter__(self) -> Writer: ...

    def __exit__(self, *error: object) -> None: ...

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Take one clip: frame_dir, label, total_frames, keypoint."""

    def close(self, split: Mapping[str, list[str]]) -> None:
        """Finish, with the names of the clips of each split."""


class PickleWriter:
    """Writes ``dict(split=..., annotations=[...], meta=...)``.

    Memory-mapped keypoints are written without being copied, so that memory does not grow with the data.

    Args:
        path: the pickle.
        meta: what is known of the whole data set.
    """

    def __init__(self, path: str | Path, meta: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.meta = dict(meta)
        self.annotations: list[dict[str, Any]] = []

    def __enter__(self) -> PickleWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was written before :meth:`close`, so nothing needs to be removed."""

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Take one clip: frame_dir, label, total_frames, keypoint."""
        self.annotations.append(dict(annotation))

    def close(self, split: Mapping[str, list[str]]) -> None:
        """Write the pickle, with the names of the clips of each split."""
        content = dict(split=dict(split), annotations=self.annotations, meta=self.meta)
        with atomic_write(self.path) as file:
            pickler = pickle.Pickler(file, protocol=5)
            pickler.dispatch_table = {**copyreg.dispatch_table, np.ndarray: _reduce_array}
            pickler.dump(content)


def _reduce_array(array: np.ndarray) -> tuple[Any, ...]:
    """An array as NumPy pickles it, so that all readers know it, but without copying its bytes first."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False  # what is writeable would become a bytearray, which readers don't expect
    reduced: Any = np.empty(0, array.dtype).__reduce__()
    rebuild, args, state = reduced
    data: Any = array
    return rebuild, args, (state[0], array.shape, array.dtype, False, pickle.PickleBuffer(data))

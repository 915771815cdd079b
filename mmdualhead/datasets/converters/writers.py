"""Write annotation pickles for MMAction2's PoseDataset."""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.utils.files import atomic_write


def write_pickle(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write annotations, ``dict(split=..., annotations=..., meta=...)``, atomically.

    Memory-mapped keypoints are written without being copied, so that memory does not grow with the data.

    Args:
        path: the pickle; its folder is created.
        data: the annotations may be any iterable.

    Raises:
        OSError: it could not be written; no partial file is left.
    """
    content = {**data, 'annotations': list(data['annotations'])}
    with atomic_write(path) as file:
        pickler = pickle.Pickler(file, protocol=5)
        pickler.dispatch_table = {**copyreg.dispatch_table, np.ndarray: _reduce_array}
        pickler.dump(content)


def _reduce_array(array: np.ndarray) -> tuple[Any, ...]:
    """An array as NumPy pickles it, so that all readers support it, but without copying its bytes first."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False  # what is writeable would become a bytearray, which readers don't expect
    reduced: Any = np.empty(0, array.dtype).__reduce__()
    rebuild, args, state = reduced
    data: Any = array
    return rebuild, args, (state[0], array.shape, array.dtype, False, pickle.PickleBuffer(data))

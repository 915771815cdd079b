"""Pickles of scores, read without running what is in them: plain data as annotations, and torch's tensors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmdualhead.utils.pickles import PlainUnpickler, UnsafePickleError, load_pickle


def load_score_pickle(path: str | Path) -> Any:
    """Load a pickle of plain data and tensors.

    Args:
        path: the file.

    Returns:
        What was pickled, tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafePickleError: the file names a class or function that scores do not need. Nothing of it ran.
        ValueError: the file is empty, truncated or no pickle.
    """
    return load_pickle(path, _ScoreUnpickler)


class _ScoreUnpickler(PlainUnpickler):
    """Knows, beyond plain data, what ``DumpResults`` writes of a tensor."""

    def find_class(self, module: str, name: str) -> Any:
        return TORCH.get((module, name)) or super().find_class(module, name)


def _load_storage(content: bytes) -> Any:
    """A tensor's memory, which torch pickles as a file of its own and reads unchecked; here it is checked."""
    try:
        return torch.load(io.BytesIO(content), weights_only=True, map_location='cpu')
    except Exception as error:
        reason = str(error).split('\n', maxsplit=1)[0]
        raise UnsafePickleError(f'the memory of a tensor in it is not read: {reason}') from None


TORCH: dict[tuple[str, str], Callable] = {
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): _load_storage,
}

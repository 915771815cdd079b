"""Reading pickles of annotations and scores without running what is in them.

A pickle is a program. These may build numbers, strings, containers and numeric numpy arrays; score pickles
also tensors; nothing else, and no more of it than a file of their size can need.
"""

from __future__ import annotations

import gc
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.utils.files import check_regular
from mmdualhead.utils.memory import memory_for_file

NUMERIC_KINDS = 'biufcSU'  # bool, integers, floats, complex, and strings of fixed width


class UnreadablePickleError(ValueError):
    """A file is not a whole pickle."""


class UnsafePickleError(UnreadablePickleError):
    """A pickle asks for something other than numbers, strings, containers and numeric arrays."""


def load_annotations(path: str | Path) -> Any:
    """Load a pickle that holds plain data; see :func:`load_pickle`."""
    return load_pickle(path, PlainUnpickler)


def load_score_pickle(path: str | Path) -> Any:
    """Load a pickle of plain data and tensors, which come back on the CPU; see :func:`load_pickle`."""
    return load_pickle(path, ScoreUnpickler)


def load_pickle(path: str | Path, unpickler: type[pickle.Unpickler]) -> Any:
    """Load a pickle.

    Args:
        path: the file.
        unpickler: decides what the pickle may name; see :class:`PlainUnpickler`.

    Returns:
        What was pickled.

    Raises:
        FileNotFoundError: the file does not exist.
        UnsafePickleError: the file names a class or function that the unpickler lacks. It did not run.
        ValueError: the file is empty, truncated, not a pickle, not a regular file, or asks for more memory
            than a file of its size can need.
    """
    path = Path(path)
    check_regular(path)
    size = path.stat().st_size
    if not size:
        raise UnreadablePickleError(f'{path} is empty, a pickle was expected')
    with path.open('rb') as file:
        try:
            with _no_garbage_collection(), memory_for_file(size):
                return unpickler(file).load()
        except UnsafePickleError as error:
            raise UnsafePickleError(f'{path} was refused: {error}') from None
        except MemoryError:
            raise UnreadablePickleError(
                f'{path} ({size:,} bytes) was refused: it asks for more memory than its size can need'
            ) from None
        except Exception as error:  # random bytes make the unpickler raise nearly anything
            raise UnreadablePickleError(
                f'{path} ({size:,} bytes) is truncated or not a pickle: {type(error).__name__}: {error}'
            ) from None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Nothing becomes garbage while a pickle is read; looking for it takes up to half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class PlainUnpickler(pickle.Unpickler):
    """Looks names up in :data:`ALLOWED` and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise UnsafePickleError(
                f'it asks for {module}.{name}; only numbers, strings, lists, tuples, dicts, sets and '
                'numeric numpy arrays are read. If you trust the file, load it yourself and save it again '
                'with such contents'
            )
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f'it refers to an object outside the file ({pid!r})')


class ScoreUnpickler(PlainUnpickler):
    """Knows, beyond plain data, what mmengine's ``DumpResults`` writes of a tensor."""

    def find_class(self, module: str, name: str) -> Any:
        return _tensor_builders().get((module, name)) or super().find_class(module, name)


@cache
def _tensor_builders() -> dict[tuple[str, str], Callable]:
    import torch  # takes a second, which readers of annotations need not wait for

    def load_storage(content: bytes) -> Any:
        """A tensor's memory, which torch pickles as a file of its own and reads unchecked; here checked."""
        try:
            return torch.load(io.BytesIO(content), weights_only=True, map_location='cpu')
        except Exception as error:
            reason = str(error).split('\n', maxsplit=1)[0]
            raise UnsafePickleError(f'the memory of a tensor in it is not read: {reason}') from None

    return {
        ('torch', 'Size'): torch.Size,
        ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
        ('torch.storage', '_load_from_bytes'): load_storage,
    }


class _ArrayType:
    """Stands for numpy.ndarray where a pickle names it, and can't be called."""


def _dtype(*args: Any) -> np.dtype:
    dtype = np.dtype(*args)
    if dtype.kind not in NUMERIC_KINDS:
        raise UnsafePickleError(f'it holds an array of type {dtype}; only numeric and string arrays are read')
    return dtype


def _reconstruct(array_type: type, shape: tuple[int, ...], _: Any) -> np.ndarray:
    """An empty array, which the pickle then fills."""
    if array_type is not _ArrayType or shape != (0,):
        raise UnsafePickleError(f'it builds an array in an unusual way ({array_type!r}, {shape!r})')
    return np.ndarray.__new__(np.ndarray, (0,), 'b')


def _scalar(dtype: np.dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype, count=1)[0]


def _frombuffer(data: Any, dtype: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as protocols 0 to 2 spell them."""
    if encoding != 'latin1':
        raise UnsafePickleError(f'it asks for the codec {encoding!r}')
    return text.encode(encoding)


def _allowed() -> dict[tuple[str, str], Callable]:
    allowed: dict[tuple[str, str], Any] = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('_codecs', 'encode'): _encode,
        ('numpy', 'ndarray'): _ArrayType,
        ('numpy', 'dtype'): _dtype,
    }
    for builtins in ('builtins', '__builtin__'):
        for plain in (set, frozenset, bytes, bytearray, complex):
            allowed[builtins, plain.__name__] = plain
    for core in ('numpy.core', 'numpy._core'):  # before and since numpy 2
        allowed[f'{core}.multiarray', '_reconstruct'] = _reconstruct
        allowed[f'{core}.multiarray', 'scalar'] = _scalar
        allowed[f'{core}.numeric', '_frombuffer'] = _frombuffer
    return allowed


ALLOWED = _allowed()

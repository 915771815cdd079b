"""NumPy's arrays and scalars rebuilt from the plain parts that a pickle holds.

A pickle builds an object and then hands it a state. NumPy's own objects take states that contradict what was
built before, such as a larger element for a buffer that exists, so no pickle reaches them: it fills the
stand-ins of this module, which check that shape, type and bytes agree.
"""

from __future__ import annotations

import re
from math import prod
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np

DTYPE = re.compile(r'[<>=|]?([biufc?]\d{0,2}|[SU]\d{1,9})')
"""Bool, integers, floats, complex numbers and strings of fixed width."""

MOST_AXES = 32


class PlainDtype:
    """Stands in for ``numpy.dtype``: a name, and an order of bytes once the state is there.

    Args:
        name: as pickles spell it, for example ``'f4'``.

    Raises:
        UnpicklingError: the type is not a number or a string.
    """

    def __init__(self, name: Any, *_: Any) -> None:
        if isinstance(name, bytes):
            name = name.decode('latin1')
        if not isinstance(name, str) or not DTYPE.fullmatch(name):
            kind = 'object' if name == 'O8' else name
            raise UnpicklingError(
                f'it holds an array of type {kind!r}; only numeric and string arrays are read'
            )
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        order = order.decode('latin1') if isinstance(order, bytes) else order
        if order not in ('<', '>', '|', '=') or any(part is not None for part in state[2:5]):
            raise UnpicklingError(f'it describes an array of type {self.dtype} in an unusual way')
        self.dtype = self.dtype.newbyteorder(cast(Any, order)) if order in '<>' else self.dtype


def plain_array(data: Any, dtype: Any, shape: Any, order: Any = 'C', *_: Any) -> np.ndarray:
    """An array over bytes, which are not copied.

    Args:
        data: as many bytes as the shape needs.
        dtype: a :class:`PlainDtype`.
        shape: its sizes.
        order: ``'C'`` or ``'F'``.

    Raises:
        UnpicklingError: the parts are of other kinds, or contradict each other.
    """
    _check_parts(data, dtype, shape)
    return np.ndarray(shape, dtype.dtype, data, order=order)


def fill_array(array: np.ndarray, state: Any) -> None:
    """Give an empty array the state that NumPy pickles.

    Raises:
        UnpicklingError: it is of another form, or its parts contradict each other.
    """
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise UnpicklingError('it fills an array in an unusual way')
    shape, dtype, is_fortran, data = state[-4:]
    _check_parts(data, dtype, shape)
    # NumPy takes the bytes as the array's memory, where its constructors would copy them.
    np.ndarray.__setstate__(array, cast(Any, (1, shape, dtype.dtype, bool(is_fortran), data)))


class PickledArray(np.ndarray):
    """Stands in for ``numpy.ndarray`` where the reader of a pickle can't replace what it has built.

    Raises:
        UnpicklingError: it is called, which NumPy's pickles never do.
    """

    def __new__(cls, *_: Any) -> PickledArray:
        raise UnpicklingError('it builds an array in an unusual way')

    def __setstate__(self, state: Any) -> None:
        fill_array(self, state)

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def reconstruct(array_type: Any, shape: Any, *_: Any) -> np.ndarray:
    """An empty array, which a pickle then fills.

    Raises:
        UnpicklingError: it is of another type, or not empty.
    """
    if array_type is not PickledArray or shape != (0,):
        raise UnpicklingError(f'it builds an array in an unusual way ({shape!r:.80})')
    return np.empty(0, np.int8).view(PickledArray)


def plain_scalar(dtype: Any, data: Any) -> Any:
    """One number or string of NumPy.

    Raises:
        UnpicklingError: as :func:`plain_array`.
    """
    return plain_array(data, dtype, ())[()]


def _check_parts(data: Any, dtype: Any, shape: Any) -> None:
    if type(dtype) is not PlainDtype or type(data) not in (bytes, bytearray):
        raise UnpicklingError(f'it builds an array of a {type(dtype).__name__} and a {type(data).__name__}')
    known = type(shape) is tuple and len(shape) <= MOST_AXES
    if not known or not all(type(size) is int and size >= 0 for size in shape):
        raise UnpicklingError('it builds an array whose shape is not a tuple of sizes')
    if prod(shape) * dtype.dtype.itemsize != len(data):
        raise UnpicklingError(f'it builds an array {shape} of {dtype.dtype} from {len(data):,} bytes')

"""NumPy's arrays and scalars rebuilt from the plain parts in a pickle.

A pickle builds an object and then sets its state. NumPy's own objects take states that contradict what was
built before, such as a larger element for a buffer that exists, so no pickle reaches them: it fills the
stand-ins of this module, which check that shape, type and bytes agree.
"""

from __future__ import annotations

import re
from math import prod
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np

from mmdualhead.utils.reading import shown

DTYPE = re.compile(r'[<>=|]?([biufc?]\d{0,2}|[SU][1-9]\d{0,8})')
"""Bool, integers, floats, complex numbers and strings of fixed width."""

MOST_AXES = 32
MOST_ELEMENTS = 1 << 60


class PlainDtype:
    """A stand-in for ``numpy.dtype``: a name, and a byte order once the state is set.

    Args:
        name: as pickles spell it, for example ``'f4'``.

    Raises:
        UnpicklingError: the type is not a number or a string.
    """

    def __init__(self, name: Any, *_: Any) -> None:
        if isinstance(name, bytes):
            name = name.decode('latin1')
        if type(name) is not str or not DTYPE.fullmatch(name):
            kind = 'object' if name == 'O8' else shown(name) if type(name) is str else type(name).__name__
            raise UnpicklingError(
                f'it contains an array of type {kind}; only numeric and string arrays are read'
            )
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        order = order.decode('latin1') if isinstance(order, bytes) else order
        if order not in ('<', '>', '|', '=') or any(part is not None for part in state[2:5]):
            raise UnpicklingError(f'it describes an array of type {self.dtype} in an unsupported way')
        self.dtype = self.dtype.newbyteorder(cast(Any, order)) if order in '<>' else self.dtype


def plain_array(data: Any, dtype: Any, shape: Any, order: Any = 'C', axes: Any = None) -> np.ndarray:
    """An array over bytes, which are not copied.

    Args:
        data: as many bytes as the shape needs.
        dtype: a :class:`PlainDtype`.
        shape: its sizes.
        order: ``'C'`` or ``'F'``, or ``'K'`` (NumPy >= 2.3) for that of ``axes``.
        axes: the position of each axis of the array in ``shape``, which then has the sizes in memory.

    Raises:
        UnpicklingError: the parts have the wrong types, or contradict each other.
    """
    _check_parts(data, dtype, shape)
    if order not in ('C', 'F', 'K') or (order == 'K') != (type(axes) is tuple):
        raise UnpicklingError('it builds an array of an unknown order')
    if order == 'K':
        return np.ndarray(shape, dtype.dtype, data).transpose(axes)
    return np.ndarray(shape, dtype.dtype, data, order=order)


def fill_array(array: np.ndarray, state: Any) -> None:
    """Give an empty array the state that NumPy pickles.

    Raises:
        UnpicklingError: it has the wrong form, or its parts contradict each other.
    """
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise UnpicklingError('it fills an array in an unsupported way')
    shape, dtype, is_fortran, data = state[-4:]
    _check_parts(data, dtype, shape)
    # NumPy takes the bytes as the array's memory, where its constructors would copy them.
    np.ndarray.__setstate__(array, cast(Any, (1, shape, dtype.dtype, bool(is_fortran), data)))


class PickledArray(np.ndarray):
    """A stand-in for ``numpy.ndarray`` where the reader of a pickle cannot replace what it has built.

    Raises:
        UnpicklingError: it is called, which NumPy's pickles never do.
    """

    def __new__(cls, *_: Any) -> PickledArray:
        raise UnpicklingError('it builds an array in an unsupported way')

    def __setstate__(self, state: Any) -> None:
        fill_array(self, state)

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def reconstruct(array_type: Any, shape: Any, *_: Any) -> np.ndarray:
    """An empty array, which a pickle then fills.

    Raises:
        UnpicklingError: it has the wrong type, or is not empty.
    """
    if array_type is not PickledArray or shape != (0,):
        raise UnpicklingError('it builds an array in an unsupported way')
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
    check_counts(shape, MOST_AXES)
    if prod(shape) * dtype.dtype.itemsize != len(data):
        raise UnpicklingError(f'it builds an array {shape} of {dtype.dtype} from {len(data):,} bytes')


def check_counts(counts: Any, most: int) -> None:
    """Reject anything but a tuple of sizes whose product is quickly computed.

    Raises:
        UnpicklingError: it is not, or has more than ``most`` or too large ones.
    """
    if type(counts) is not tuple or len(counts) > most or not {int}.issuperset(map(type, counts)):
        raise UnpicklingError('it has a shape that is not a tuple of sizes')
    if counts and not 0 <= min(counts) <= max(counts) < MOST_ELEMENTS:
        raise UnpicklingError('it has a shape of negative or of too large sizes')

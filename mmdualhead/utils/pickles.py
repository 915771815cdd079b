"""Reading pickles of annotations and scores without running what is in them.

A pickle is a program for a stack machine. The one here is Python's own in Python, ``pickle._Unpickler``, of
which it keeps the operations that build numbers, strings, containers and numeric arrays. Its work is in
proportion to the size of the file: keys of dicts and members of sets are strings or numbers, which are hashed
quickly, and an object that occurs in several places counts in each.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.arrays import read_header
from mmdualhead.utils.memory import FACTOR, memory_for_file
from mmdualhead.utils.plain_arrays import PlainDtype, fill_array, plain_array, plain_scalar
from mmdualhead.utils.reading import open_regular

MOST_DEPTH = 64
"""Annotations, scores and checkpoints are nested ten levels deep at most."""

WORK = 16 << 20
"""The contents of a pickle of n bytes may have ``WORK + FACTOR * n`` bytes; shared parts count each time."""

LONGEST_KEY = 1 << 16
MOST_BITS = 60
"""Larger integers can share a hash, so that a dict of them takes quadratic time."""

KEYS = (str, bytes, int, float, type(None), np.bool_, np.integer, np.floating)
"""Types whose hashes can hardly be made to collide."""

NUMBERS = frozenset((int, float, bool, complex, type(None)))
TEXTS = frozenset((str, bytes, bytearray))
DICTS = frozenset((dict, OrderedDict))
CONTAINERS = DICTS | {list, tuple, set, frozenset}


def load_annotations(path: str | Path) -> Any:
    """Load a pickle of plain data; see :func:`load_pickle`."""
    return load_pickle(path, PlainUnpickler)


def load_saved_dict(path: str | Path) -> dict[Any, Any]:
    """Load the dict in a ``.npy`` file, where NumPy pickles it in an array of one object.

    Raises:
        OSError: it cannot be opened.
        UserError: as :func:`load_pickle`, or it has other contents.
    """
    with open_regular(path) as file:
        shape, _, dtype = read_header(file)
        start = file.tell()
    if shape or dtype.kind != 'O':
        raise UserError(f'{path}: expected a dict, found an array of shape {shape} and type {dtype}')
    value = load_pickle(path, lambda content: SavedDictUnpickler(content, start))
    if not isinstance(value, dict):
        raise UserError(f'{path}: expected a dict, found a {type(value).__name__}')
    return value


def load_pickle(path: str | Path, unpickler: Callable[[Any], PlainUnpickler]) -> Any:
    """Load a pickle.

    Args:
        path: the file.
        unpickler: the class that decides which names are allowed; see :class:`PlainUnpickler`.

    Returns:
        The pickled object.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: the file names a class or function that the unpickler lacks, which did not run; it is
            empty, truncated, not a pickle, or continues after its end; or it would need more memory or work
            than its size justifies.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError(f'{path} is empty, expected a pickle')
        try:
            with (
                _no_garbage_collection(),
                memory_for_file(size),
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                machine = unpickler(content)
                value = machine.load()
                if rest := size - machine.at:
                    raise UserError(f'{rest:,} bytes follow its end')
                return value
        except UnpicklingError as error:
            raise UserError(f'{path} was refused: {error}') from None
        except MemoryError:
            raise UserError(
                f'{path} ({size:,} bytes) was refused: it would need more memory than its size justifies'
            ) from None
        except Exception as error:  # random bytes make the machine raise nearly anything
            raise UserError(
                f'{path} ({size:,} bytes) is truncated or not a pickle: {type(error).__name__}: {error}'
            ) from None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, which finds nothing in a pickle but takes up to half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Named(NamedTuple):
    """The meaning of a name in a pickle.

    Args:
        name: for messages.
        function: computes the result of a call from the machine and the arguments.
    """

    name: str
    function: Callable[..., Any]

    def call(self, machine: PlainUnpickler, arguments: Any) -> Any:
        """The result of a call.

        Raises:
            UnpicklingError: the arguments are not those of a valid pickle.
        """
        try:
            return self.function(machine, *arguments)
        except TypeError as error:
            raise UnpicklingError(f'it calls {self.name} in an unsupported way ({error})') from None


class PlainUnpickler(pickle._Unpickler):
    """Runs the program of a pickle; looks names up in :data:`ALLOWED` and imports nothing.

    The methods named ``load_...`` are the operations of the machine whose standard ones would do too much.

    Args:
        content: the pickle.
        start: where in the content it begins.
    """

    def __init__(self, content: Any, start: int = 0) -> None:
        super().__init__(self)
        self.memo: dict[int, Any] = {}
        self.content = content
        self.at = start
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.work = WORK + FACTOR * len(content)
        """The bytes that its contents may still have."""

    def load(self) -> Any:
        """Run the program to its end; the commonest operations are here, since calls would take longer.

        Raises:
            UnpicklingError: it contains more than plain data.
            Exception: it is not a valid pickle.
        """
        content, at, stack, marked, memo = self.content, self.at, self.stack, self.metastack, self.memo
        while (code := content[at]) != STOP:
            at += 1
            if code == MEMOIZE:
                memo[len(memo)] = stack[-1]
            elif code == LONG_BINPUT:
                memo[four_bytes(content, at)[0]] = stack[-1]
                at += 4
            elif code == SHORT_BINUNICODE:
                end = at + 1 + content[at]
                stack.append(str(content[at + 1 : end], 'utf-8', 'surrogatepass'))
                at = end
            elif code == BININT1:
                stack.append(content[at])
                at += 1
            elif code == LONG_BINGET:
                stack.append(memo[four_bytes(content, at)[0]])
                at += 4
            elif code == BINGET:
                stack.append(memo[content[at]])
                at += 1
            elif code == MARK:
                marked.append(stack)
                stack = []
            elif code == TUPLE:
                items, stack = stack, marked.pop()
                stack.append(tuple(items))
            elif operation := OPERATIONS.get(code):
                self.at, self.stack, self.append = at, stack, stack.append
                operation(self)
                at, stack = self.at, self.stack
            else:
                raise UserError(f'unknown operation {bytes([code])!r}')
        self.at = at + 1
        (value,) = stack
        self.weigh(value)
        return value

    def find_class(self, module: str, name: str) -> Named:
        """The meaning of a name.

        Raises:
            UnpicklingError: it has none.
        """
        if (module, name) not in ALLOWED:
            raise UnpicklingError(
                f'it contains {module}.{name}; only numbers, strings, lists, tuples, dicts, sets and '
                'numeric numpy arrays are read. If you trust the file, load it yourself and save it again '
                'with such contents'
            )
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """An object outside of the pickle.

        Raises:
            UnpicklingError: always.
        """
        raise UnpicklingError(f'it refers to an object outside the file by a {type(pid).__name__}')

    def fill(self, value: Any, state: Any) -> None:
        """Set the state of an object.

        Raises:
            UnpicklingError: it has no state, or a different one.
        """
        if type(value) is np.ndarray:
            fill_array(value, state)
        elif type(value) is PlainDtype:
            value.__setstate__(state)
        else:
            raise UnpicklingError(f'it fills a {type(value).__name__}')

    def new(self, kind: Any) -> Any:
        """An object of a class.

        Raises:
            UnpicklingError: always.
        """
        raise UnpicklingError(f'it makes an object of {getattr(kind, "name", type(kind).__name__)}')

    def spend(self, amount: int) -> None:
        """Count bytes that are out of proportion to those of the operation that makes them.

        Raises:
            UnpicklingError: they are more than the size of the file justifies.
        """
        self.work -= amount
        if self.work < 0:
            raise UnpicklingError('it would need more work than its size justifies')

    def weigh(self, value: Any) -> None:
        """Count the contents of an object, level by level; shared parts count each time.

        Raises:
            UnpicklingError: it is more than the size of the file justifies, or nested too deep.
        """
        level = [value]
        for _ in range(MOST_DEPTH + 1):
            inner: list[Any] = []
            for item in level:
                kind = type(item)
                if kind in NUMBERS:
                    continue
                if kind in CONTAINERS:
                    self.spend(8 * len(item))
                    inner += item.values() if kind in DICTS else item
                else:
                    self.spend(len(item) if kind in TEXTS else getattr(item, 'nbytes', 0))
            if not inner:
                return
            level = inner
        raise UnpicklingError(f'its contents are nested more than {MOST_DEPTH} levels deep')

    def pop_mark(self) -> list[Any]:
        """All that is above the last mark."""
        items, self.stack = self.stack, self.metastack.pop()
        self.append = self.stack.append
        return items

    def read(self, size: int) -> bytes:
        """The next bytes, at the end of the file fewer; the program does not end there."""
        start, self.at = self.at, self.at + size
        return self.content[start : self.at]

    def readline(self) -> bytes:
        """The next bytes up to the end of the line."""
        end = self.content.find(b'\n', self.at)
        if end < 0:
            raise EOFError('it ends within a line')
        return self.read(end + 1 - self.at)

    def load_frame(self) -> None:
        self.read(8)

    def load_persid(self) -> None:  # the standard one takes damaged bytes for a request
        self.append(self.persistent_load(str(self.readline()[:-1], 'ascii')))

    def load_bytearray8(self) -> None:
        end = self.at + 8 + int.from_bytes(self.content[self.at : self.at + 8], 'little')
        self.append(bytearray(memoryview(self.content)[self.at + 8 : end]))
        self.at = end

    def load_append(self) -> None:
        item = self.stack.pop()
        self._top(frozenset((list,))).append(item)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._top(frozenset((list,))).extend(items)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_pairs(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_pairs([key, value])

    def load_setitems(self) -> None:
        self._set_pairs(self.pop_mark())

    def _set_pairs(self, items: list[Any]) -> None:
        keys = items[::2]
        check_keys(keys)
        self._top(DICTS).update(zip(keys, items[1::2], strict=True))

    def load_additems(self) -> None:
        items = self.pop_mark()
        check_keys(items)
        self._top(frozenset((set,))).update(items)

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        check_keys(items)
        self.append(frozenset(items))

    def _top(self, kinds: Collection[type]) -> Any:
        """The container on top of the stack, to which items are added."""
        outer = self.stack[-1]
        if type(outer) not in kinds:
            raise UnpicklingError(f'it adds to a {type(outer).__name__}')
        return outer

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Named or type(arguments) is not tuple:
            raise UnpicklingError(f'it calls a {type(function).__name__}')
        self.stack.append(function.call(self, arguments))

    def load_newobj(self) -> None:
        _arguments, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(self.new(kind))

    def load_build(self) -> None:
        state = self.stack.pop()
        self.fill(self.stack[-1], state)


class SavedDictUnpickler(PlainUnpickler):
    """Takes the array of one object that NumPy pickles around it for that object."""

    def find_class(self, module: str, name: str) -> Named:
        """As for plain data, but the type of an array may be ``object``."""
        if (module, name) == ('numpy', 'dtype'):
            return Named('numpy.dtype', _dtype_or_object)
        return super().find_class(module, name)

    def fill(self, value: Any, state: Any) -> None:
        """Set the state of an object; the array of one object becomes this object."""
        is_object = type(value) is np.ndarray and isinstance(state, tuple) and state[-3:-2] == (OBJECT,)
        if is_object and state[-4] == () and isinstance(state[-1], list) and len(state[-1]) == 1:
            self.stack[-1] = state[-1][0]
        elif value is not OBJECT:
            super().fill(value, state)


OBJECT = object()


def _dtype_or_object(_: PlainUnpickler, name: Any, *rest: Any) -> Any:
    return OBJECT if name == 'O8' else PlainDtype(name, *rest)


KEPT = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP),
    *(
        pickle.NONE,
        pickle.NEWTRUE,
        pickle.NEWFALSE,
        pickle.INT,
        pickle.BININT,
        pickle.BININT1,
        pickle.BININT2,
    ),
    *(pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT),
    *(pickle.UNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8),
    *(pickle.STRING, pickle.SHORT_BINSTRING, pickle.BINSTRING),
    *(pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_DICT, pickle.DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    *(pickle.GET, pickle.BINGET, pickle.LONG_BINGET, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT),
    *(pickle.MEMOIZE, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.PERSID, pickle.BINPERSID),
    *(pickle.REDUCE, pickle.NEWOBJ, pickle.BUILD),
)
"""The operations that are supported; the others make objects of classes, or refer to other memory."""

OPERATIONS: dict[int, Callable[[PlainUnpickler], None]] = {
    code[0]: getattr(PlainUnpickler, PlainUnpickler.dispatch[code[0]].__name__) for code in KEPT
}
MEMOIZE, LONG_BINPUT, LONG_BINGET, BINGET = b'\x94rjh'
SHORT_BINUNICODE, BININT1, MARK, TUPLE, STOP = b'\x8cK(t.'
four_bytes = Struct('<I').unpack_from


def check_keys(keys: Collection[Any]) -> None:
    """Reject keys that are slow to hash or to compare.

    Raises:
        UnpicklingError: a key is not a short string or a number.
    """
    kinds = set(map(type, keys))
    if kinds == {str} and max(map(len, keys)) <= LONGEST_KEY:
        return
    for key in keys:
        if not isinstance(key, KEYS):
            raise UnpicklingError(f'it has a {type(key).__name__} as a key; expected strings or numbers')
        if isinstance(key, int) and key.bit_length() > MOST_BITS:
            raise UnpicklingError(f'it has a key of more than {MOST_BITS} bits')
        if isinstance(key, str | bytes) and len(key) > LONGEST_KEY:
            raise UnpicklingError(f'it has a key of more than {LONGEST_KEY:,} characters')


def _encode(machine: PlainUnpickler, text: str, encoding: str = 'latin1') -> bytes:
    """Bytes as protocols 0 to 2 spell them."""
    if type(text) is not str or type(encoding) is not str or encoding not in ('latin1', 'latin-1'):
        raise UnpicklingError('it uses a codec other than latin1')
    machine.spend(len(text))
    return text.encode('latin1')


def _bytes(kind: type, machine: PlainUnpickler, content: Any = b'', *encoding: str) -> Any:
    if type(content) is str:
        return kind(_encode(machine, content, *encoding))
    if type(content) not in (bytes, bytearray):
        raise UnpicklingError(f'it makes {kind.__name__} of a {type(content).__name__}')
    machine.spend(len(content))
    return kind(content)


def _set(kind: type, machine: PlainUnpickler, items: Any = ()) -> Any:
    if type(items) not in (list, tuple):
        raise UnpicklingError(f'it makes a {kind.__name__} of a {type(items).__name__}')
    check_keys(items)
    machine.spend(8 * len(items))
    return kind(items)


def _ordered(machine: PlainUnpickler, pairs: Any = ()) -> OrderedDict:
    if type(pairs) not in (list, tuple) or any(type(pair) not in (list, tuple) for pair in pairs):
        raise UnpicklingError(f'it makes a dict of a {type(pairs).__name__}')
    check_keys([pair[0] for pair in pairs])
    machine.spend(8 * len(pairs))
    return OrderedDict(pairs)


def _complex(_: PlainUnpickler, real: float, imag: float) -> complex:
    return complex(real, imag)


def _no_call(*_: Any) -> Any:
    raise UnpicklingError('it calls what is only named in such files')


ARRAY_TYPE = Named('numpy.ndarray', _no_call)


def _reconstruct(_: PlainUnpickler, array_type: Any, shape: Any, *__: Any) -> np.ndarray:
    """An empty array, which the pickle then fills."""
    if array_type is not ARRAY_TYPE or shape != (0,):
        kind = getattr(array_type, 'name', type(array_type).__name__)
        raise UnpicklingError(f'it builds an array in an unsupported way ({kind})')
    return np.empty(0, np.int8)


def _scalar(machine: PlainUnpickler, dtype: Any, data: Any) -> Any:
    machine.spend(len(data))
    return plain_scalar(dtype, data)


def _allowed() -> dict[tuple[str, str], Named]:
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ('collections', 'OrderedDict'): _ordered,
        ('_codecs', 'encode'): _encode,
        ('numpy', 'dtype'): lambda _, *arguments: PlainDtype(*arguments),
    }
    for builtins in ('builtins', '__builtin__'):
        functions[builtins, 'complex'] = _complex
        functions |= {(builtins, kind.__name__): partial(_set, kind) for kind in (set, frozenset)}
        functions |= {(builtins, kind.__name__): partial(_bytes, kind) for kind in (bytes, bytearray)}
    for core in ('numpy.core', 'numpy._core'):  # before and since numpy 2
        functions[f'{core}.multiarray', '_reconstruct'] = _reconstruct
        functions[f'{core}.multiarray', 'scalar'] = _scalar
        functions[f'{core}.numeric', '_frombuffer'] = lambda _, *arguments: plain_array(*arguments)
    named = {name: Named('.'.join(name), function) for name, function in functions.items()}
    return {**named, ('numpy', 'ndarray'): ARRAY_TYPE}


ALLOWED = _allowed()
"""All names that annotations may contain."""

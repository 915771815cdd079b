"""Reading pickles of annotations and scores without running what is in them.

A pickle is a program for a stack machine. The machine here builds numbers, strings, containers and numeric
arrays, and nothing else. Its work is in proportion to the size of the file: dict keys and members of sets are
strings or numbers, which are hashed in no time, and what stands in several places counts each time.
"""

from __future__ import annotations

import codecs
import gc
import io
import mmap
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from struct import Struct
from typing import Any

import numpy as np

from mmdualhead.utils.memory import FACTOR, memory_for_file
from mmdualhead.utils.plain_arrays import PlainDtype, fill_array, plain_array, plain_scalar
from mmdualhead.utils.reading import open_regular

MOST_DEPTH = 64
"""Annotations, scores and checkpoints are nested ten levels deep at most."""

WORK = 16 << 20
"""A pickle of n bytes may name ``WORK + FACTOR * n`` elements and bytes once more."""

LONGEST_KEY = 1 << 16
MOST_BITS = 60
"""Larger integers can share a hash, so that a dict of them takes quadratic time."""

CONTAINERS = frozenset((list, tuple, dict, set, frozenset, OrderedDict))
KEYS = {str, bytes, int, bool, float, type(None)}


class UnreadablePickleError(ValueError):
    """A file is not a whole pickle."""


class UnsafePickleError(UnreadablePickleError):
    """A pickle asks for something other than numbers, strings, containers and numeric arrays."""


def load_annotations(path: str | Path) -> Any:
    """Load a pickle that holds plain data; see :func:`load_pickle`."""
    return load_pickle(path, PlainUnpickler)


def load_pickle(path: str | Path, unpickler: type[PlainUnpickler]) -> Any:
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
            or work than a file of its size can need.
    """
    path = Path(path)
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        if not size:
            raise UnreadablePickleError(f'{path} is empty, a pickle was expected')
        try:
            with (
                _no_garbage_collection(),
                memory_for_file(size),
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                return unpickler(content).load()
        except UnpicklingError as error:
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


class PlainUnpickler:
    """Runs the program of a pickle; looks names up in :data:`ALLOWED` and imports nothing.

    Args:
        content: the pickle; what follows its end is left.
        start: where in the content it begins.
    """

    def __init__(self, content: Any, start: int = 0) -> None:
        self.content = content
        self.at = start
        self.work = WORK + FACTOR * len(content)
        """What is left of the elements and bytes that may be named again."""
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.depths: dict[int, int] = {}
        """Of containers that hold containers, by their id, which is theirs as long as they are alive."""
        self.alive: list[Any] = []
        self.weights: dict[int, int] = {}
        """Of containers that the program has named again, by their id; these are finished."""
        self.unfilled = 0

    def load(self) -> Any:
        """Run the program to its end.

        Raises:
            UnpicklingError: it asks for what is not plain data.
            Exception: it is no program of this kind.
        """
        content, run = self.content, OPERATIONS
        while (code := content[self.at]) != pickle.STOP[0]:
            self.at += 1
            operation = run[code]
            if operation is None:
                raise ValueError(f'unknown operation {bytes([code])!r}')
            operation(self)
        self.at += 1
        (value,) = self.stack
        if self.unfilled:
            raise UnpicklingError('it leaves arrays empty')
        return value

    def find(self, module: str, name: str) -> Named:
        """What a name stands for.

        Raises:
            UnpicklingError: nothing.
        """
        if (module, name) not in ALLOWED:
            raise UnpicklingError(
                f'it asks for {module}.{name}; only numbers, strings, lists, tuples, dicts, sets and '
                'numeric numpy arrays are read. If you trust the file, load it yourself and save it again '
                'with such contents'
            )
        return ALLOWED[module, name]

    def persistent(self, name: Any) -> Any:
        """An object outside of the pickle.

        Raises:
            UnpicklingError: always.
        """
        raise UnpicklingError(f'it refers to an object outside the file ({name!r:.80})')

    def fill(self, value: Any, state: Any) -> Any:
        """An object that was built, with its state.

        Raises:
            UnpicklingError: it takes none.
        """
        if type(value) is _Array:
            array = np.empty(0, np.int8)
            fill_array(array, state)
            self.unfilled -= 1
            place = value.place
            if self.memo.get(place) is value:
                self.memo[place] = array
            return array
        if type(value) is PlainDtype:
            value.__setstate__(state)
            return value
        raise UnpicklingError(f'it fills a {type(value).__name__}')

    def new(self, kind: Any, arguments: Any) -> Any:  # noqa: ARG002
        """An object of a class.

        Raises:
            UnpicklingError: always.
        """
        raise UnpicklingError(f'it makes an object of {getattr(kind, "name", type(kind).__name__)}')

    def spend(self, amount: int) -> None:
        """Count work that is out of proportion to the bytes that ask for it.

        Raises:
            UnpicklingError: it is more than a file of this size can need.
        """
        self.work -= amount
        if self.work < 0:
            raise UnpicklingError('it asks for more work than its size can need')

    def read(self, size: int) -> bytes:
        """The next bytes."""
        start, self.at = self.at, self.at + size
        content = self.content[start : self.at]
        if len(content) < size:
            raise EOFError(f'it ends within the {size:,} bytes from {start:,} on')
        return content

    def line(self) -> bytes:
        """The next bytes up to the end of the line."""
        end = self.content.find(b'\n', self.at)
        if end < 0:
            raise EOFError('it ends within a line')
        line, self.at = bytes(self.content[self.at : end]), end + 1
        return line

    def pop_mark(self) -> list[Any]:
        """All that is above the last mark."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def hold(self, outer: Any, items: Collection[Any]) -> None:
        """Note that a container holds items, before it is asked how deep it is.

        Raises:
            UnpicklingError: containers are nested too deep.
        """
        if CONTAINERS.isdisjoint(map(type, items)):
            return
        inner = max(self.depths.get(id(item), 1) for item in items if type(item) in CONTAINERS)
        depth = max(1 + inner, self.depths.get(id(outer), 1))
        if depth > MOST_DEPTH:
            raise UnpicklingError(f'its contents are nested more than {MOST_DEPTH} levels deep')
        self.depths[id(outer)] = depth
        self.alive.append(outer)

    def share(self, value: Any) -> None:
        """Count an object that stands in one more place; a container gets no more items from now on.

        Raises:
            UnpicklingError: it is more than a file of this size can need.
        """
        weight = self.weights.get(id(value))
        if weight is None:
            weight = self._weigh(value)
            if type(value) in CONTAINERS:
                self.weights[id(value)] = weight
                self.alive.append(value)
        self.spend(weight)

    def _weigh(self, value: Any) -> int:
        """The elements and bytes in an object, those that stand in several places each time."""
        weight, waiting = 0, [value]
        while waiting:
            value = waiting.pop()
            weight += 8
            if isinstance(value, np.ndarray):
                weight += value.nbytes
            elif isinstance(value, str | bytes | bytearray):
                weight += len(value)
            elif type(value) in CONTAINERS:
                waiting += value.values() if isinstance(value, dict) else value
                weight += len(value)
            if weight > self.work:
                break
        return weight

    def open_container(self, kinds: Collection[type]) -> Any:
        """The container on top of the stack, which gets items."""
        outer = self.stack[-1]
        if type(outer) not in kinds or id(outer) in self.weights:
            raise UnpicklingError(f'it adds to a {type(outer).__name__} that is finished')
        return outer


class Named:
    """What a name in a pickle stands for.

    Args:
        name: for messages.
        function: makes what a call of it gives, out of the machine and the arguments.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function

    def call(self, machine: PlainUnpickler, arguments: Any) -> Any:
        """What a call gives.

        Raises:
            UnpicklingError: the arguments are others than such a pickle has.
        """
        try:
            return self.function(machine, *arguments)
        except TypeError as error:
            raise UnpicklingError(f'it calls {self.name} in an unusual way ({error})') from None


FREE = {Named, PlainDtype, bool, int, float}
"""Kinds of objects of which any number of places takes nothing."""


class _Array:
    """Stands for an array that the pickle has still to fill; ``place`` is where it will be remembered."""

    def __init__(self, place: int) -> None:
        self.place = place


def check_keys(keys: Collection[Any]) -> None:
    """Refuse what takes long to hash or to compare.

    Raises:
        UnpicklingError: a key is not a short string or a number.
    """
    kinds = set(map(type, keys))
    if kinds == {str} and max(map(len, keys)) <= LONGEST_KEY:
        return
    for kind in kinds:
        if kind not in KEYS and not issubclass(kind, np.generic):
            raise UnpicklingError(f'it has a {kind.__name__} as a key; expected strings or numbers')
        if kind is int and max(k.bit_length() for k in keys if type(k) is int) > MOST_BITS:
            raise UnpicklingError(f'it has a key of more than {MOST_BITS} bits')
        if issubclass(kind, str | bytes) and max(len(k) for k in keys if type(k) is kind) > LONGEST_KEY:
            raise UnpicklingError(f'it has a key of more than {LONGEST_KEY:,} characters')


U4 = Struct('<I')
OPERATIONS: list[Callable[[Any], None] | None] = [None] * 256
"""What each code does with the machine."""


def _operation(*codes: bytes) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        for code in codes:
            OPERATIONS[code[0]] = function
        return function

    return register


def _push_constant(value: Any, machine: PlainUnpickler) -> None:
    machine.stack.append(value)


def _push_number(form: Struct, machine: PlainUnpickler) -> None:
    machine.stack += form.unpack_from(machine.content, machine.at)
    machine.at += form.size


def _push_sized(form: Struct, convert: Callable[[bytes], Any], machine: PlainUnpickler) -> None:
    (size,) = form.unpack_from(machine.content, machine.at)
    machine.at += form.size
    machine.stack.append(convert(machine.read(size)))


def _push_line(convert: Callable[[bytes], Any], machine: PlainUnpickler) -> None:
    machine.stack.append(convert(machine.line()))


def _push_empty(kind: type, machine: PlainUnpickler) -> None:
    machine.stack.append(kind())


def _push_tuple(size: int, machine: PlainUnpickler) -> None:
    stack = machine.stack
    if len(stack) < size:
        raise IndexError('the stack is empty')
    value = tuple(stack[-size:])
    machine.hold(value, value)
    stack[-size:] = [value]


def _utf8(content: bytes) -> str:
    return str(content, 'utf-8', 'surrogatepass')


def _ascii(content: bytes) -> str:
    return str(content, 'ascii')


def _signed(content: bytes) -> int:
    return int.from_bytes(content, 'little', signed=True)


def _quoted(content: bytes) -> str:
    if len(content) < 2 or content[:1] != content[-1:] or content[:1] not in (b'"', b"'"):
        raise ValueError('a string without quotes')
    return str(codecs.escape_decode(content[1:-1])[0], 'ascii')


def _integer(content: bytes) -> int | bool:
    return content == b'01' if content in (b'00', b'01') else int(content)


def _register_values() -> None:
    u1, u2, u8, i4, f8 = map(Struct, ('<B', '<H', '<Q', '<i', '>d'))
    for code, value in ((pickle.NONE, None), (pickle.NEWTRUE, True), (pickle.NEWFALSE, False)):
        OPERATIONS[code[0]] = partial(_push_constant, value)
    numbers = {pickle.BININT1: u1, pickle.BININT2: u2, pickle.BININT: i4, pickle.BINFLOAT: f8}
    for code, form in numbers.items():
        OPERATIONS[code[0]] = partial(_push_number, form)
    sized: dict[bytes, tuple[Struct, Callable[[bytes], Any]]] = {
        pickle.LONG1: (u1, _signed),
        pickle.LONG4: (U4, _signed),
        pickle.SHORT_BINUNICODE: (u1, _utf8),
        pickle.BINUNICODE: (U4, _utf8),
        pickle.BINUNICODE8: (u8, _utf8),
        pickle.SHORT_BINSTRING: (u1, _ascii),
        pickle.BINSTRING: (U4, _ascii),
        pickle.SHORT_BINBYTES: (u1, bytes),
        pickle.BINBYTES: (U4, bytes),
        pickle.BINBYTES8: (u8, bytes),
        pickle.BYTEARRAY8: (u8, bytearray),
    }
    for code, (form, convert) in sized.items():
        OPERATIONS[code[0]] = partial(_push_sized, form, convert)
    lines: dict[bytes, Callable[[bytes], Any]] = {
        pickle.INT: _integer,
        pickle.LONG: lambda content: int(content.removesuffix(b'L')),
        pickle.FLOAT: float,
        pickle.STRING: _quoted,
        pickle.UNICODE: lambda content: str(content, 'raw-unicode-escape'),
    }
    for code, convert in lines.items():
        OPERATIONS[code[0]] = partial(_push_line, convert)
    for code, kind in {
        pickle.EMPTY_LIST: list,
        pickle.EMPTY_DICT: dict,
        pickle.EMPTY_SET: set,
        pickle.EMPTY_TUPLE: tuple,
    }.items():
        OPERATIONS[code[0]] = partial(_push_empty, kind)
    for size, code in enumerate((pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), 1):
        OPERATIONS[code[0]] = partial(_push_tuple, size)


_register_values()


@_operation(pickle.PROTO)
def _protocol(machine: PlainUnpickler) -> None:
    if machine.read(1)[0] > pickle.HIGHEST_PROTOCOL:
        raise ValueError('an unknown protocol')


@_operation(pickle.FRAME)
def _frame(machine: PlainUnpickler) -> None:
    machine.at += 8


@_operation(pickle.MARK)
def _mark(machine: PlainUnpickler) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


@_operation(pickle.POP)
def _pop(machine: PlainUnpickler) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


@_operation(pickle.POP_MARK)
def _pop_mark(machine: PlainUnpickler) -> None:
    machine.pop_mark()


@_operation(pickle.DUP)
def _duplicate(machine: PlainUnpickler) -> None:
    machine.share(machine.stack[-1])
    machine.stack.append(machine.stack[-1])


@_operation(pickle.TUPLE)
def _tuple(machine: PlainUnpickler) -> None:
    value = tuple(machine.pop_mark())
    machine.hold(value, value)
    machine.stack.append(value)


@_operation(pickle.LIST)
def _list(machine: PlainUnpickler) -> None:
    value = machine.pop_mark()
    machine.hold(value, value)
    machine.stack.append(value)


@_operation(pickle.DICT)
def _dict(machine: PlainUnpickler) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    _set_pairs(machine, items)


@_operation(pickle.FROZENSET)
def _frozenset(machine: PlainUnpickler) -> None:
    items = machine.pop_mark()
    check_keys(items)
    machine.stack.append(frozenset(items))


@_operation(pickle.APPEND)
def _append(machine: PlainUnpickler) -> None:
    item = machine.stack.pop()
    outer = machine.open_container((list,))
    machine.hold(outer, (item,))
    outer.append(item)


@_operation(pickle.APPENDS)
def _appends(machine: PlainUnpickler) -> None:
    items = machine.pop_mark()
    outer = machine.open_container((list,))
    machine.hold(outer, items)
    outer.extend(items)


@_operation(pickle.SETITEM)
def _set_item(machine: PlainUnpickler) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_pairs(machine, [key, value])


@_operation(pickle.SETITEMS)
def _set_items(machine: PlainUnpickler) -> None:
    _set_pairs(machine, machine.pop_mark())


def _set_pairs(machine: PlainUnpickler, items: list[Any]) -> None:
    outer = machine.open_container((dict, OrderedDict))
    keys, values = items[::2], items[1::2]
    check_keys(keys)
    machine.hold(outer, values)
    outer.update(zip(keys, values, strict=True))


@_operation(pickle.ADDITEMS)
def _add_items(machine: PlainUnpickler) -> None:
    items = machine.pop_mark()
    check_keys(items)
    machine.open_container((set,)).update(items)


@_operation(pickle.BINGET)
def _get_1(machine: PlainUnpickler) -> None:
    _get(machine, machine.content[machine.at])
    machine.at += 1


@_operation(pickle.LONG_BINGET)
def _get_4(machine: PlainUnpickler) -> None:
    _get(machine, U4.unpack_from(machine.content, machine.at)[0])
    machine.at += 4


@_operation(pickle.GET)
def _get_line(machine: PlainUnpickler) -> None:
    _get(machine, int(machine.line()))


def _get(machine: PlainUnpickler, place: int) -> None:
    value = machine.memo[place]
    kind = type(value)
    if kind not in FREE and (kind is not str or len(value) > LONGEST_KEY):
        machine.share(value)
    machine.stack.append(value)


@_operation(pickle.MEMOIZE)
def _memoize(machine: PlainUnpickler) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


@_operation(pickle.BINPUT)
def _put_1(machine: PlainUnpickler) -> None:
    machine.memo[machine.content[machine.at]] = machine.stack[-1]
    machine.at += 1


@_operation(pickle.LONG_BINPUT)
def _put_4(machine: PlainUnpickler) -> None:
    machine.memo[U4.unpack_from(machine.content, machine.at)[0]] = machine.stack[-1]
    machine.at += 4


@_operation(pickle.PUT)
def _put_line(machine: PlainUnpickler) -> None:
    machine.memo[int(machine.line())] = machine.stack[-1]


@_operation(pickle.GLOBAL)
def _global(machine: PlainUnpickler) -> None:
    machine.stack.append(machine.find(_utf8(machine.line()), _utf8(machine.line())))


@_operation(pickle.STACK_GLOBAL)
def _stack_global(machine: PlainUnpickler) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise ValueError('a name that is not a string')
    machine.stack.append(machine.find(module, name))


@_operation(pickle.PERSID)
def _persistent_line(machine: PlainUnpickler) -> None:
    machine.stack.append(machine.persistent(_ascii(machine.line())))


@_operation(pickle.BINPERSID)
def _persistent(machine: PlainUnpickler) -> None:
    machine.stack[-1] = machine.persistent(machine.stack[-1])


@_operation(pickle.REDUCE)
def _reduce(machine: PlainUnpickler) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if type(function) is not Named or type(arguments) is not tuple:
        raise UnpicklingError(f'it calls a {type(function).__name__}')
    machine.stack.append(function.call(machine, arguments))


@_operation(pickle.BUILD)
def _build(machine: PlainUnpickler) -> None:
    state, value = machine.stack.pop(), machine.stack[-1]
    machine.stack[-1] = machine.fill(value, state)


@_operation(pickle.NEWOBJ)
def _new_object(machine: PlainUnpickler) -> None:
    arguments, kind = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.new(kind, arguments))


def _encode(machine: PlainUnpickler, text: str, encoding: str = 'latin1') -> bytes:
    """Bytes as protocols 0 to 2 spell them."""
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        raise UnpicklingError(f'it asks for the codec {encoding!r:.80}')
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
    machine.spend(len(items))
    return kind(items)


def _ordered(machine: PlainUnpickler, pairs: Any = ()) -> OrderedDict:
    if type(pairs) not in (list, tuple) or any(type(pair) not in (list, tuple) for pair in pairs):
        raise UnpicklingError(f'it makes a dict of a {type(pairs).__name__}')
    check_keys([pair[0] for pair in pairs])
    ordered = OrderedDict(pairs)
    machine.hold(ordered, ordered.values())
    machine.spend(len(ordered))
    return ordered


def _complex(_: PlainUnpickler, real: float, imag: float) -> complex:
    return complex(real, imag)


def _no_call(*_: Any) -> Any:
    raise UnpicklingError('it calls what is only named in such files')


def _reconstruct(machine: PlainUnpickler, array_type: Any, shape: Any, *_: Any) -> _Array:
    """An empty array, which the pickle then fills."""
    if array_type is not _ARRAY_TYPE or shape != (0,):
        raise UnpicklingError(f'it builds an array in an unusual way ({shape!r:.80})')
    machine.unfilled += 1
    return _Array(len(machine.memo))


def _dtype(_: PlainUnpickler, *arguments: Any) -> PlainDtype:
    return PlainDtype(*arguments)


def _scalar(machine: PlainUnpickler, dtype: Any, data: Any) -> Any:
    machine.spend(len(data))
    return plain_scalar(dtype, data)


def _from_buffer(_: PlainUnpickler, *arguments: Any) -> np.ndarray:
    return plain_array(*arguments)


_ARRAY_TYPE = Named('numpy.ndarray', _no_call)


def _allowed() -> dict[tuple[str, str], Named]:
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ('collections', 'OrderedDict'): _ordered,
        ('_codecs', 'encode'): _encode,
        ('numpy', 'dtype'): _dtype,
    }
    for builtins in ('builtins', '__builtin__'):
        functions[builtins, 'complex'] = _complex
        functions |= {(builtins, kind.__name__): partial(_set, kind) for kind in (set, frozenset)}
        functions |= {(builtins, kind.__name__): partial(_bytes, kind) for kind in (bytes, bytearray)}
    for core in ('numpy.core', 'numpy._core'):  # before and since numpy 2
        functions[f'{core}.multiarray', '_reconstruct'] = _reconstruct
        functions[f'{core}.multiarray', 'scalar'] = _scalar
        functions[f'{core}.numeric', '_frombuffer'] = _from_buffer
    named = {name: Named('.'.join(name), function) for name, function in functions.items()}
    return {**named, ('numpy', 'ndarray'): _ARRAY_TYPE}


ALLOWED = _allowed()
"""All that annotations may name."""

"""PyTorch's pickles: tensors in dumped scores, and checks of a checkpoint before PyTorch reads it."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, ZipFile, is_zipfile

from mmdualhead.errors import UserError
from mmdualhead.utils.pickles import ALLOWED, Named, PlainUnpickler, load_pickle
from mmdualhead.utils.plain_arrays import MOST_AXES, MOST_ELEMENTS, check_counts
from mmdualhead.utils.reading import open_regular

LEGACY_PICKLES = 5
"""The first pickles of a checkpoint from before PyTorch 1.6: number, version, system, contents, storages."""

BUILDERS = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3')


def load_score_pickle(path: str | Path) -> Any:
    """Load a pickle of plain data and tensors, which come back on the CPU; see :func:`load_pickle`."""
    return load_pickle(path, ScoreUnpickler)


class ScoreUnpickler(PlainUnpickler):
    """Reads plain data, and tensors as mmengine's ``DumpResults`` writes them."""

    def find_class(self, module: str, name: str) -> Named:
        return _tensor_builders().get((module, name)) or super().find_class(module, name)


@cache
def _tensor_builders() -> dict[tuple[str, str], Named]:
    import torch  # takes a second, which readers of annotations save

    def load_storage(machine: PlainUnpickler, content: bytes) -> Any:
        """A tensor's memory, which torch pickles as a separate file and reads unchecked; here checked."""
        machine.spend(len(content))
        try:
            check_checkpoint(io.BytesIO(content))
            return torch.load(io.BytesIO(content), weights_only=True, map_location='cpu')
        except Exception as error:
            reason = str(error).split('\n', maxsplit=1)[0]
            raise UnpicklingError(f'the memory of a tensor in it is not read: {reason}') from None

    def build_tensor(
        machine: PlainUnpickler, storage: Any, offset: Any, size: Any, stride: Any, *_: Any
    ) -> Any:
        if not isinstance(storage, torch.storage.TypedStorage):
            raise UnpicklingError(f'it builds a tensor of a {type(storage).__name__}')
        check_extent(storage._size(), offset, size, stride)
        machine.spend(storage._nbytes())
        return torch._utils._rebuild_tensor(storage, offset, size, stride)

    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ('torch', 'Size'): _size,
        ('torch._utils', '_rebuild_tensor_v2'): build_tensor,
        ('torch.storage', '_load_from_bytes'): load_storage,
    }
    return {name: Named('.'.join(name), function) for name, function in functions.items()}


def check_extent(available: int, offset: Any, size: Any, stride: Any) -> None:
    """Reject a tensor that exceeds its storage, or has more elements than it.

    Args:
        available: elements of the storage.
        offset: of the first element.
        size: of each axis.
        stride: of each axis, in elements.

    Raises:
        UnpicklingError: it does, or something is not a count.
    """
    for counts in (size, stride, (offset,)):
        check_counts(counts, MOST_AXES)
    if len(size) != len(stride):
        raise UnpicklingError('it describes a tensor by a size and a stride of different axes')
    elements = prod(size)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if elements > available or (elements and last >= available):
        raise UnpicklingError(f'it has a tensor {size} that exceeds its {available:,} elements')


def _size(_: PlainUnpickler, sizes: Any = ()) -> tuple[int, ...]:
    """``torch.Size``."""
    counts = tuple(sizes) if type(sizes) is list else sizes
    check_counts(counts, MOST_AXES)
    return counts


def check_checkpoint(file: Any) -> None:
    """Check what a checkpoint would make PyTorch do, without building anything.

    Args:
        file: the file, open for reading.

    Raises:
        BadZipFile: it is damaged.
        ValueError: a bit has flipped, or something is compressed, which PyTorch never does.
        UnpicklingError: it has tensors that exceed their bytes, would need more work than its size justifies,
            or contains something that no checkpoint needs.
    """
    if is_zipfile(file):
        _check_archive(file)
        return
    file.seek(0)
    content, at = file.read(), 0
    for _ in range(LEGACY_PICKLES):
        outline = Outline(content, None, at)
        outline.load()
        at = outline.at
        if at >= len(content):
            return


def check_checkpoint_file(path: str | Path) -> None:
    """:func:`check_checkpoint` of a regular file."""
    with open_regular(path) as file:
        check_checkpoint(file)


def _check_archive(file: Any) -> None:
    with ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != ZIP_STORED for member in members):
            raise UserError('its contents are compressed')
        if wrong := archive.testzip():
            raise UserError(f'the checksum of {wrong} in it is wrong')
        sizes = {member.filename.partition('/')[2]: member.file_size for member in members}
        if len(sizes) < len(members):
            raise UserError('two of its members have one name')
        contents = [member for member in members if member.filename.partition('/')[2] == 'data.pkl']
        if contents:
            Outline(archive.read(contents[0]), sizes).load()


class _Storage(NamedTuple):
    """A storage that PyTorch would read."""

    elements: int
    item: int


class _Stub:
    """A stub for any object that PyTorch would build."""


class Outline(PlainUnpickler):
    """Runs the program of a checkpoint as PyTorch's reader would, with stubs for PyTorch's objects.

    PyTorch, which reads the file afterwards, decides which names are allowed.

    Args:
        content: the pickle.
        sizes: of the files in the archive, in bytes; None for a checkpoint that is not one.
        start: the offset of the pickle in the content.
    """

    def __init__(self, content: bytes, sizes: Mapping[str, int] | None, start: int = 0) -> None:
        super().__init__(content, start)
        self.sizes = sizes

    def find_class(self, module: str, name: str) -> Named:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        full = f'{module}.{name}'
        if module == 'torch._utils' and name in BUILDERS:
            return Named(full, _check_tensor)
        functions: dict[str, Callable[..., Any]] = {
            'torch._tensor._rebuild_from_type_v2': _check_other_tensor,
            'torch.Size': _size,
        }
        return Named(full, functions.get(full, _stub))

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is not tuple or len(pid) < 5 or type(pid[1]) is not Named:
            return super().persistent_load(pid)
        _, kind, key, _, elements = pid[:5]
        item = _item_size(kind.name)
        if type(elements) is not int or not 0 <= elements < MOST_ELEMENTS or type(key) is not str:
            raise UnpicklingError('it has a storage whose size is not a number')
        if self.sizes is not None and self.sizes.get(f'data/{key}') != elements * item:
            raise UnpicklingError(f'it has a storage of {elements * item:,} bytes, data/{key} has others')
        return _Storage(elements, item)

    def new(self, kind: Any) -> Any:
        return _Stub() if type(kind) is Named else super().new(kind)

    def fill(self, value: Any, state: Any) -> None:
        if type(value) in (_Stub, OrderedDict):
            self.weigh(state)
        else:
            super().fill(value, state)


@cache
def _item_size(kind: str) -> int:
    import torch

    if kind.rpartition('.')[2] == 'UntypedStorage':
        return 1
    of = {f'torch.{storage}': dtype for dtype, storage in torch.storage._dtype_to_storage_type_map().items()}
    if kind not in of:
        raise UnpicklingError(f'it names the storage {kind}')
    return of[kind].itemsize


def _stub(machine: PlainUnpickler, *arguments: Any) -> _Stub:
    machine.weigh(arguments)
    return _Stub()


def _check_tensor(
    _machine: PlainUnpickler, storage: Any, offset: Any, size: Any, stride: Any, *others: Any
) -> _Stub:
    if type(storage) is not _Storage:
        raise UnpicklingError(f'it builds a tensor of a {type(storage).__name__}')
    available = storage.elements
    if len(others) > 2 and type(others[2]) is Named:  # version 3 stores the type apart from the storage
        available = storage.elements * storage.item // _dtype_size(others[2].name)
    check_extent(available, offset, size, stride)
    return _Stub()


@cache
def _dtype_size(name: str) -> int:
    import torch

    dtype = getattr(torch, name.removeprefix('torch.'), None)
    if not isinstance(dtype, torch.dtype):
        raise UnpicklingError(f'it names the type {name}')
    return dtype.itemsize


def _check_other_tensor(
    machine: PlainUnpickler, function: Any, _kind: Any, arguments: Any, _state: Any
) -> Any:
    if type(function) is not Named or type(arguments) is not tuple:
        raise UnpicklingError('it builds a tensor in an unsupported way')
    return function.call(machine, arguments)

"""Checkpoints: reading them safely, comparing them with a model, writing them atomically.

Importing this changes nothing: :mod:`mmdualhead.compat` installs :data:`READERS` and :func:`load_in_full`
in mmengine and MMAction2.
"""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import BadZipFile

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import Tensor, nn

from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.utils.files import atomic_write
from mmdualhead.utils.memory import memory_for_file
from mmdualhead.utils.reading import open_regular
from mmdualhead.utils.text import and_more, printable
from mmdualhead.utils.torch_pickles import check_checkpoint_file

RESUMABLE = ('meta', 'state_dict', 'message_hub', 'optimizer')
"""The keys that a checkpoint needs to be resumed."""

META = {'epoch': int, 'iter': int, 'seed': int, 'cfg': str, 'time': str, 'dataset_meta': dict}
"""The optional entries of a checkpoint's meta and their types."""

DAMAGED = (
    *(EOFError, OSError, RuntimeError, ValueError, LookupError, AttributeError),
    *(BadZipFile, struct.error),
)
"""The errors that readers raise for damaged files."""

MOST_WEIGHTS = 8
"""The number of weights that an error message names of a kind."""

INTERRUPTED = 'interrupted.pth'
"""The checkpoint that an interrupted run leaves in its work_dir."""

PERIODIC = re.compile(r'(epoch|iter)_\d+')
"""The names of periodic checkpoints."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        source: the file or URL, for messages.
        content: the result of :func:`torch.load`.
    """

    source: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Read a file as :func:`load_from_local` does."""
        return cls(str(path), load_from_local(path))

    @property
    def meta(self) -> Mapping[str, Any]:
        """Its metadata: epoch, config, training data."""
        return (self.content.get('meta') or {}) if 'state_dict' in self.content else {}

    @cached_property
    def weights(self) -> dict[str, Any]:
        """The weights, named as mmengine names them when it loads them."""
        weights = self.content.get('state_dict', self.content)
        return {re.sub(r'^module\.', '', name): value for name, value in weights.items()}

    @property
    def input(self) -> NetworkInput | None:
        """The input of the network; see :meth:`NetworkInput.of_checkpoint`."""
        return NetworkInput.of_checkpoint(self.meta)

    @property
    def lacks(self) -> list[str]:
        """The keys that it lacks to be resumed."""
        return [key for key in RESUMABLE if self.content.get(key) is None]

    def fits(self, model: nn.Module) -> Fit:
        """Compare the weights with those of a model, by name and shape.

        As for mmengine, batch norms may lack ``num_batches_tracked``.
        """
        wanted, given = unwrapped(model).state_dict(), self.weights
        shapes = {name: tuple(getattr(given[name], 'shape', ())) for name in wanted if name in given}
        misshaped = [name for name, shape in shapes.items() if shape != tuple(wanted[name].shape)]
        return Fit(
            matched=[name for name in shapes if name not in misshaped],
            missing=[n for n in wanted if n not in given and not n.endswith('num_batches_tracked')],
            unexpected=[name for name in given if name not in wanted],
            misshaped=[f'{n} {shapes[n]} instead of {tuple(wanted[n].shape)}' for n in misshaped],
        )

    def check_finite(self) -> None:
        """Make sure that no weight is NaN or infinite.

        Raises:
            UserError: some are; the message names the first.
        """
        if bad := non_finite(self.weights):
            raise UserError(f'{self.source}: {len(bad)} weights are not finite, {bad[0]} first')

    def check(self, model: nn.Module) -> None:
        """Make sure that the weights are exactly those of a model, and finite.

        Raises:
            UserError: a weight is missing, unexpected, of another shape, or not finite.
        """
        fit = self.fits(model)
        if not fit.is_full:
            raise UserError(
                f'{self.source} does not fit the model (another layout or another network?): {fit}'
            )
        self.check_finite()

    def save(self, path: str | Path) -> None:
        """Write the file atomically.

        Raises:
            OSError: it could not be written; the message names it.
        """
        file = io.BytesIO()
        torch.save(self.content, file)
        # Released also if writing fails: Python 3.12 crashes when it collects a view with a traceback.
        with file.getbuffer() as content:
            AtomicBackend().put(content, path)


class Fit(NamedTuple):
    """How the weights of a checkpoint fit a model, by name."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def is_full(self) -> bool:
        """Whether the weights are exactly those of the model."""
        return not (self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.misshaped)
        kinds = (
            ('missing in the checkpoint', self.missing),
            ('of another shape', self.misshaped),
            ('not in the model', self.unexpected),
        )
        return '; '.join(
            [f'{len(self.matched)} of {total} weights fit']
            + [f'{len(names)} {kind}: {and_more(names, MOST_WEIGHTS)}' for kind, names in kinds if names]
        )


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside wrappers for distribution and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def non_finite(values: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that contain NaN or infinity."""
    return [
        name
        for name, value in values.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]


def load_from_local(
    filename: str | Path,
    map_location: Any = None,  # noqa: ARG001
    mmap: bool = False,
) -> dict[str, Any]:
    """Read a checkpoint without running any code in it. mmengine reads all local files through this.

    Args:
        filename: the file.
        map_location: not used, since callers copy the tensors to their own device.
        mmap: whether to leave the tensors on the disk until they are used.

    Returns:
        The checkpoint, on the CPU, without ``meta['config']``: mmengine would execute that.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: it is damaged, is not a checkpoint, or contains code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, 'the checkpoint does not exist', str(path))
    try:
        with memory_for_file(path.stat().st_size):
            check_checkpoint_file(path)
            checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise UserError(
            f'the checkpoint {path} is refused: it is damaged, is not a checkpoint, or contains code '
            f'({_reason(error)})'
        ) from None
    except MemoryError:
        raise UserError(
            f'the checkpoint {path} is refused: it would need more memory than its size justifies'
        ) from None
    except PermissionError:
        raise
    except DAMAGED as error:
        raise UserError(
            f'the checkpoint {path} is damaged or is not a checkpoint ({_reason(error)})'
        ) from None
    if fault := _content_fault(checkpoint):
        raise UserError(f'{path}{fault}')
    drop_code(checkpoint)
    return checkpoint


def _content_fault(checkpoint: Any) -> str:
    """Why this is not a checkpoint: it has no named weights, or an invalid meta."""
    if not isinstance(checkpoint, dict):
        return f' contains a {type(checkpoint).__name__}, not a checkpoint'
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping):
        return f' is not a checkpoint: its state_dict is a {type(weights).__name__}, not weights by name'
    for name in weights:
        if not isinstance(name, str):
            return f' is not a checkpoint: weights have names, but it has the key {name!r}'
    meta = checkpoint.get('meta') if 'state_dict' in checkpoint else None
    if not isinstance(meta, dict | None):
        return f': its meta is a {type(meta).__name__}, expected a dict'
    for key, kind in META.items():
        value = (meta or {}).get(key)
        if not isinstance(value, kind | None) or isinstance(value, bool):
            return f': meta[{key!r}] in it is a {type(value).__name__}, expected a {kind.__name__}'
    return ''


def load_from_http(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Download a checkpoint once and read it as :func:`load_from_local` does.

    The copy is in ``torch.hub.get_dir()`` under a name that distinguishes URLs with equal file names.

    Raises:
        UserError: it could not be downloaded, or is refused.
    """
    name = f'{hashlib.sha256(filename.encode()).hexdigest()[:12]}-{filename.rpartition("/")[2]}'
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(path), progress=False)
        except OSError as error:
            raise UserError(
                f'{filename} could not be downloaded ({error}); get it with: curl -fLO {filename}'
            ) from None
    barrier()
    return load_from_local(path, map_location)


def load_by_name(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Look a name up in a list of models of OpenMMLab or torchvision, then :func:`load_from_http`."""
    scheme, _, name = filename.partition('://')
    if 'mmlab' in scheme:
        urls = mmengine_checkpoint.get_external_models()
        name = mmengine_checkpoint.get_deprecated_model_names().get(name, name)
    elif scheme == 'mmcls':
        urls = mmengine_checkpoint.get_mmcls_models()
    else:
        urls = mmengine_checkpoint.get_torchvision_models()
    if name not in urls:
        raise UserError(f'{filename}: there is no model named {name!r}')
    if not urls[name].startswith(('http://', 'https://')):
        return load_from_local(Path(mmengine_checkpoint._get_mmengine_home(), urls[name]), map_location)
    checkpoint = load_from_http(urls[name], map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint) if scheme == 'mmcls' else checkpoint


def load_from_elsewhere(filename: str, map_location: Any = None) -> dict[str, Any]:  # noqa: ARG001
    """Refuse what mmengine's other readers would unpickle, which runs code.

    Raises:
        UserError: always; the message says how to download the file.
    """
    command = f'aws s3 cp s3://{filename.partition("s3://")[2]} .' if 's3://' in filename else ''
    raise UserError(
        f'{filename} is refused: only files and http(s) are read without running code in them. Download it '
        f'and give the file{": " if command else ""}{command}'
    )


_reads_as_mmengine = ContextVar('reads as mmengine', default=False)
_takes_any_weights = ContextVar('takes any weights', default=False)


@contextmanager
def _set(way_out: ContextVar[bool]) -> Iterator[None]:
    token = way_out.set(True)
    try:
        yield
    finally:
        way_out.reset(token)


def mmengine_readers() -> AbstractContextManager[None]:
    """Use mmengine's own readers within this context, which may run code in a checkpoint."""
    return _set(_reads_as_mmengine)


def any_weights() -> AbstractContextManager[None]:
    """Within this context ``init_recognizer`` loads what fits and prints the rest, as it does by default."""
    return _set(_takes_any_weights)


def _or_mmengines(prefix: str, safe: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A reader that is mmengine's own within :func:`mmengine_readers`."""
    theirs = CheckpointLoader._schemes.get(prefix, safe)

    @wraps(safe)
    def read(filename: str, map_location: Any = None) -> dict[str, Any]:
        return (theirs if _reads_as_mmengine.get() else safe)(filename, map_location)

    return read


NAMED = ('open-mmlab://', 'openmmlab://', 'modelzoo://', 'torchvision://', 'mmcls://')
READERS: dict[str, Callable[..., dict[str, Any]]] = {
    prefix: _or_mmengines(prefix, reader)
    for prefix, reader in {
        '': load_from_local,
        **dict.fromkeys(('http://', 'https://'), load_from_http),
        **dict.fromkeys(NAMED, load_by_name),
        **dict.fromkeys(('pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_elsewhere),
    }.items()
}
"""The readers of checkpoints by prefix; all of mmengine's.

``init_recognizer``, ``load_from``, ``--resume``, ``mim test`` and ``init_cfg=dict(type='Pretrained')`` all
read through mmengine's table of readers, which these replace: its readers of URLs run code with any version
of PyTorch.
"""


def load_in_full(model: nn.Module, filename: str, map_location: Any = None, **kwargs: Any) -> dict[str, Any]:
    """The loader of MMAction2's ``init_recognizer``: mmengine's, but the weights must be exactly the model's.

    Raises:
        UserError: a weight is missing, unexpected, of another shape, or not finite.
    """
    content = CheckpointLoader.load_checkpoint(str(filename), map_location)
    if not _takes_any_weights.get():
        try:
            Checkpoint(str(filename), content).check(model)
        except UserError as error:
            raise UserError(
                f'{error}. If this is intended, use {__name__}.{any_weights.__name__}()'
            ) from None
    return mmengine_checkpoint._load_checkpoint_to_model(model, content, **kwargs)


def _reason(error: Exception) -> str:
    """The informative line of a torch.load error."""
    text = str(error).replace('WeightsUnpickler error: ', '')
    named = re.search(r'Unsupported global: GLOBAL (\S+)|Trying to load unsupported GLOBAL (\S+)', text)
    if named:
        return f'it names {named.group(1) or named.group(2)}'
    return ': '.join([type(error).__name__, *text.strip().splitlines()[:1]])[:200]


def drop_code(checkpoint: dict[str, Any]) -> None:
    """Remove ``meta['config']``, which mmengine executes on ``--resume`` and current releases never write."""
    meta = checkpoint.get('meta')
    if isinstance(meta, dict) and meta.pop('config', None) is not None:
        print_log("the checkpoint's meta['config'] is ignored: mmengine would execute it", 'current', 30)


def newest_checkpoint(folder: str | Path, needed: Sequence[str] = RESUMABLE) -> tuple[Path | None, list[str]]:
    """The checkpoint that is furthest in training, by the epoch and iteration stored in it.

    A folder's own checkpoints come first. ``last_checkpoint`` names a file by its absolute path, which is
    in the original of a copied folder: it is followed only if the folder has no periodic checkpoints, since a
    run saves those elsewhere if its checkpoint hook has an ``out_dir``.

    Args:
        folder: a work_dir.
        needed: the keys that the checkpoint must have; by default those that resuming needs.

    Returns:
        The file, or None if there is none, and why files were ignored.
    """
    folder = Path(folder)
    found, ignored = _progress(folder, needed)
    if not any(place.is_periodic for place in found) and (other := _saved_elsewhere(folder)):
        further, faults = _progress(other, needed)
        found, ignored = found + further, ignored + faults
    # Other files may belong to another run; they are used only if this one has none.
    own = [place for place in found if place.is_periodic or place.path.name == INTERRUPTED]
    furthest = max(own or found, default=None)
    return furthest and furthest.path, ignored


def last_checkpoint(work_dir: str | Path) -> Path:
    """The newest checkpoint of a work dir, if necessary one that cannot be resumed; logs what is ignored.

    Raises:
        FileNotFoundError: there is none.
    """
    found, ignored = newest_checkpoint(work_dir, needed=())
    reasons = list(map(printable, ignored))
    if found is None:
        raise FileNotFoundError('; '.join([f'{work_dir} contains no checkpoint (*.pth)', *reasons]))
    for reason in reasons:
        logging.getLogger('mmdualhead').warning('ignored: %s', reason)
    return found


class _Progress(NamedTuple):
    """The progress of training stored in a file, in the order of comparison."""

    epoch: int
    iteration: int
    after_validation: bool  # an interruption at the end of an epoch keeps the scores of its validation
    is_periodic: bool
    path: Path


def _progress(folder: Path, needed: Sequence[str]) -> tuple[list[_Progress], list[str]]:
    """The complete checkpoints of a folder that have all keys, and the faults of the other files."""
    found, ignored = [], []
    for path in sorted(folder.glob('*.pth')):
        try:
            open_regular(path).close()
            checkpoint = load_from_local(path, 'cpu', mmap=True)
        except FileNotFoundError:
            ignored.append(f'{path} is a link to a file that does not exist')
        except (ValueError, OSError) as error:
            ignored.append(str(error))
        else:
            meta = checkpoint.get('meta') or {}
            if all(checkpoint.get(key) is not None for key in needed):
                progress = int(meta.get('epoch', 0)), int(meta.get('iter', 0)), path.name == INTERRUPTED
                found.append(_Progress(*progress, PERIODIC.fullmatch(path.stem) is not None, path))
    return found, ignored


def _saved_elsewhere(folder: Path) -> Path | None:
    """The other folder that ``last_checkpoint`` names; None if the file that it names is in this one."""
    pointer = folder / 'last_checkpoint'
    if not pointer.is_file():
        return None
    named = pointer.read_bytes()[:4096].decode(errors='replace').strip()
    if not named or not named.isprintable() or (folder / Path(named).name).exists():
        return None
    other = Path(named).parent
    return None if other == Path() or other.resolve() == folder.resolve() else other


def holds_run(folder: str | Path) -> bool:
    """Whether a folder contains a checkpoint of a run."""
    names = (path.name for path in Path(folder).glob('*.pth'))
    return any(name == INTERRUPTED or PERIODIC.fullmatch(Path(name).stem) for name in names)


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are complete or absent: written next to the old file, synced, then renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file; if that fails, the old file is kept and no other is left.

        Raises:
            OSError: it could not be written; the message names the file.
        """
        with atomic_write(filepath) as file:
            file.write(obj)

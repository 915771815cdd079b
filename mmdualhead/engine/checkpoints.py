"""Checkpoint files: reading them safely, writing them whole, and telling whether they fit a model."""

from __future__ import annotations

import hashlib
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from zipfile import BadZipFile

import torch
from mmaction.apis import inference as mmaction_inference
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import Tensor, nn

from mmdualhead.utils.files import atomic_write
from mmdualhead.utils.memory import memory_for_file
from mmdualhead.utils.text import and_more
from mmdualhead.utils.torch_pickles import check_checkpoint_file

RESUMABLE = ('meta', 'state_dict', 'message_hub', 'optimizer')
"""What a checkpoint needs for training to go on from it."""

META = {'epoch': int, 'iter': int, 'seed': int, 'cfg': str, 'time': str, 'dataset_meta': dict}
"""What a checkpoint's meta may hold and what kind that is; each may be missing."""

DAMAGED = (
    *(EOFError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError),
    *(BadZipFile, struct.error),
)
"""What damaged files make their readers raise."""

SHOWN = 8
"""How many names of a kind an error message lists."""


class RunError(ValueError):
    """A run that can't start, or can't go on; the message says why and what to do."""


class UnreadableCheckpointError(RunError):
    """A checkpoint that is damaged, is none, or asks for code to be run."""


class MissingCheckpointError(RunError, FileNotFoundError):
    """A checkpoint that is not there."""


class UnwritableError(RunError, OSError):
    """A file that can't be written, for example because the disk is full."""


def load_from_local(
    filename: str | Path,
    map_location: Any = None,  # noqa: ARG001
    mmap: bool = False,
) -> dict[str, Any]:
    """Read a checkpoint without running any code in it. mmengine reads all local files through this.

    Args:
        filename: the file.
        map_location: not used, since whoever loads the tensors copies them to its own device.
        mmap: whether to leave the tensors on the disk until they are used.

    Returns:
        The checkpoint, on the CPU, without ``meta['config']``: mmengine would execute that as a program.

    Raises:
        MissingCheckpointError: the file does not exist.
        UnreadableCheckpointError: it is damaged, is not a checkpoint, or refers to code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise MissingCheckpointError(f'the checkpoint {path} does not exist')
    try:
        with memory_for_file(path.stat().st_size):
            check_checkpoint_file(path)
            checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise UnreadableCheckpointError(
            f'the checkpoint {path} is refused: it is damaged, is not a checkpoint, or refers to code '
            f'({_reason(error)})'
        ) from None
    except MemoryError:
        raise UnreadableCheckpointError(
            f'the checkpoint {path} is refused: it asks for more memory than its size can need'
        ) from None
    except PermissionError:
        raise
    except (
        EOFError,
        struct.error,
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        AttributeError,
        BadZipFile,
    ) as error:
        raise UnreadableCheckpointError(
            f'the checkpoint {path} is damaged or is not a checkpoint ({_reason(error)})'
        ) from None
    if fault := _content_fault(checkpoint):
        raise UnreadableCheckpointError(f'{path}{fault}')
    drop_code(checkpoint)
    return checkpoint


def _content_fault(checkpoint: Any) -> str:
    """Why this is not a checkpoint: it has no weights by name, or a meta that those who read it could not."""
    if not isinstance(checkpoint, dict):
        return f' holds a {type(checkpoint).__name__}, not a checkpoint'
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

    The copy lies in ``torch.hub.get_dir()`` under a name that tells URLs with equal file names apart.

    Raises:
        UnreadableCheckpointError: it could not be downloaded, or is refused.
    """
    name = f'{hashlib.sha256(filename.encode()).hexdigest()[:12]}-{filename.rpartition("/")[2]}'
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(path), progress=False)
        except OSError as error:
            raise UnreadableCheckpointError(
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
        raise UnreadableCheckpointError(f'{filename}: there is no model of the name {name!r}')
    if not urls[name].startswith(('http://', 'https://')):
        return load_from_local(Path(mmengine_checkpoint._get_mmengine_home(), urls[name]), map_location)
    checkpoint = load_from_http(urls[name], map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint) if scheme == 'mmcls' else checkpoint


def load_from_elsewhere(filename: str, map_location: Any = None) -> dict[str, Any]:  # noqa: ARG001
    """Refuse what mmengine's other readers would unpickle with its code running.

    Raises:
        UnreadableCheckpointError: always; the message says how to download the file.
    """
    command = f'aws s3 cp s3://{filename.partition("s3://")[2]} .' if 's3://' in filename else ''
    raise UnreadableCheckpointError(
        f'{filename} is refused: only files and http(s) are read without running code in them. Download it '
        f'and name the file{": " if command else ""}{command}'
    )


NAMED = ('open-mmlab://', 'openmmlab://', 'modelzoo://', 'torchvision://', 'mmcls://')
READERS: dict[str, Callable[..., dict[str, Any]]] = {
    '': load_from_local,
    **dict.fromkeys(('http://', 'https://'), load_from_http),
    **dict.fromkeys(NAMED, load_by_name),
    **dict.fromkeys(('pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_elsewhere),
}
"""What reads a checkpoint, by how its name begins; all that mmengine knows."""


_ORIGINAL_READERS = {
    prefix: reader for prefix, reader in CheckpointLoader._schemes.items() if prefix in READERS
}
# For the whole process: init_recognizer, load_from, --resume, mim test and init_cfg=dict(type='Pretrained')
# all read through mmengine's one table of readers and nothing that a hook could reach, and of its readers
# those of URLs run code with any version of PyTorch. mmengine_readers is the way out.
for _prefix, _reader in READERS.items():
    CheckpointLoader.register_scheme(_prefix, _reader, force=True)


@contextmanager
def mmengine_readers() -> Iterator[None]:
    """Within this context mmengine's own readers read, which may run code in a checkpoint."""
    safe = CheckpointLoader._schemes
    CheckpointLoader._schemes = OrderedDict({**safe, **_ORIGINAL_READERS})
    try:
        yield
    finally:
        CheckpointLoader._schemes = safe


def load_in_full(model: nn.Module, filename: str, map_location: Any = None, **kwargs: Any) -> dict[str, Any]:
    """What MMAction2's ``init_recognizer`` loads by: as mmengine, but the weights must be the model's.

    Raises:
        RunError: a weight is missing, left over, of another shape, or not finite.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(filename), map_location)
    if fault := weights_fault(model, checkpoint):
        raise RunError(f'{filename}{fault}. If that is meant: {__name__}.{any_weights.__name__}()')
    return mmengine_checkpoint._load_checkpoint_to_model(model, checkpoint, **kwargs)


@contextmanager
def any_weights() -> Iterator[None]:
    """Within this context ``init_recognizer`` goes on with what fits and prints the rest, as by itself."""
    mmaction_inference.load_checkpoint = mmengine_checkpoint.load_checkpoint
    try:
        yield
    finally:
        mmaction_inference.load_checkpoint = load_in_full


mmaction_inference.load_checkpoint = load_in_full


def _reason(error: Exception) -> str:
    """The line of a torch.load error that says what happened."""
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


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in a checkpoint, named as mmengine names them when it loads it."""
    weights = checkpoint.get('state_dict', checkpoint)
    return {re.sub(r'^module\.', '', name): value for name, value in weights.items()}


def non_finite(weights: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that hold a NaN or an infinity."""
    return [
        name
        for name, value in weights.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]


class Match(NamedTuple):
    """How the weights of a checkpoint fit a model, by name."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]

    @property
    def is_full(self) -> bool:
        """Whether every weight of the model is there, and nothing else."""
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
            + [f'{len(names)} {kind}: {and_more(names, SHOWN)}' for kind, names in kinds if names]
        )


def unwrapped(model: nn.Module) -> nn.Module:
    """The network within what distributes it or averages over a clip's augmentations."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def match(model: nn.Module, checkpoint: Mapping[str, Any]) -> Match:
    """Compare the weights of a checkpoint with those of a model.

    As for mmengine, batch norms may lack ``num_batches_tracked``.
    """
    wanted, given = unwrapped(model).state_dict(), weights_of(checkpoint)
    shapes = {name: tuple(getattr(given[name], 'shape', ())) for name in wanted if name in given}
    misshaped = [name for name, shape in shapes.items() if shape != tuple(wanted[name].shape)]
    return Match(
        matched=[name for name in shapes if name not in misshaped],
        missing=[n for n in wanted if n not in given and not n.endswith('num_batches_tracked')],
        unexpected=[name for name in given if name not in wanted],
        misshaped=[f'{n} {shapes[n]} instead of {tuple(wanted[n].shape)}' for n in misshaped],
    )


def weights_fault(model: nn.Module, checkpoint: Mapping[str, Any]) -> str:
    """What keeps a model from answering with a checkpoint's weights, to follow its name; empty if nothing."""
    fit, bad = match(model, checkpoint), non_finite(weights_of(checkpoint))
    if not fit.is_full:
        return f' does not fit the model (another layout or another network?): {fit}'
    return f': {len(bad)} weights are not finite, {bad[0]} first' if bad else ''


def find_resumable(folder: str | Path) -> tuple[Path | None, list[str]]:
    """The checkpoint that training in a folder goes on from: the newest whole one.

    Newest is what was saved last, by its own account. ``last_checkpoint`` is asked only for another folder
    that checkpoints were saved to; it may be behind, damaged, or of a folder that was moved.

    Returns:
        The file, or None if there is none, and why newer files were passed over.
    """
    folder = Path(folder)
    whole, damaged = [], []
    for path in _candidates(folder):
        written = path.stat().st_mtime
        try:
            checkpoint = load_from_local(path, 'cpu', mmap=True)
        except UnreadableCheckpointError as error:
            damaged.append((written, str(error)))
            continue
        if all(key in checkpoint for key in RESUMABLE) and isinstance(checkpoint['meta'], dict):
            meta = checkpoint['meta']
            whole.append(((str(meta.get('time', '')), int(meta.get('iter', 0))), written, path))
    if not whole:
        return None, [reason for _, reason in damaged]
    _, written, path = max(whole)
    return path, [reason for when, reason in damaged if when >= written]


def _candidates(folder: Path) -> list[Path]:
    """All checkpoints of a run."""
    places = [folder]
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        named = pointer.read_bytes()[:4096].decode(errors='replace').strip()
        if named.isprintable() and named:
            places.append(Path(named).parent)
    return sorted({path.resolve() for place in places if place.is_dir() for path in place.glob('*.pth')})


def holds_run(folder: str | Path) -> bool:
    """Whether a training has left a checkpoint in a folder."""
    return any(
        re.fullmatch(r'(epoch|iter)_\d+|interrupted', path.stem) for path in Path(folder).glob('*.pth')
    )


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are whole or absent: written beside the old file, synced, then put in its place."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file; if that fails, the old one stays and nothing else does.

        Raises:
            UnwritableError: it could not be written; the message names the file.
        """
        try:
            with atomic_write(filepath) as file:
                file.write(obj)
        except OSError as error:
            raise UnwritableError(error.strerror or str(error)) from error

"""Checkpoint files: reading them safely, writing them whole, and telling whether they fit a model."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

RESUMABLE = ('meta', 'state_dict', 'message_hub', 'optimizer')
"""What a checkpoint needs for training to go on from it."""

SHOWN = 8
"""How many names of a kind an error message lists."""


class UnreadableCheckpointError(ValueError):
    """A checkpoint that is damaged, is none, or asks for code to be run."""


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str | Path, map_location: Any = None, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint without running any code in it. mmengine reads all local files through this.

    Args:
        filename: the file.
        map_location: see :func:`torch.load`.
        mmap: whether to leave the tensors on the disk until they are used.

    Returns:
        The checkpoint, without ``meta['config']``: mmengine would execute that as a Python program.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableCheckpointError: it is damaged, is no checkpoint, or refers to code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'the checkpoint {path} does not exist')
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise UnreadableCheckpointError(
            f'the checkpoint {path} is refused: it is damaged, is no checkpoint, or refers to code '
            f'({_reason(error)})'
        ) from None
    except PermissionError:
        raise
    except (EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UnreadableCheckpointError(
            f'the checkpoint {path} is damaged or is none ({_reason(error)})'
        ) from None
    if not isinstance(checkpoint, dict):
        raise UnreadableCheckpointError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint')
    drop_code(checkpoint)
    return checkpoint


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
            + [f'{len(names)} {kind}: {_some(names)}' for kind, names in kinds if names]
        )


def _some(names: list[str]) -> str:
    """The first few of some names."""
    return ', '.join(names[:SHOWN]) + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')


def match(model: nn.Module, checkpoint: Mapping[str, Any]) -> Match:
    """Compare the weights of a checkpoint with those of a model.

    As for mmengine, batch norms may lack ``num_batches_tracked``.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    wanted, given = model.state_dict(), weights_of(checkpoint)
    shapes = {name: tuple(getattr(given[name], 'shape', ())) for name in wanted if name in given}
    misshaped = [name for name, shape in shapes.items() if shape != tuple(wanted[name].shape)]
    return Match(
        matched=[name for name in shapes if name not in misshaped],
        missing=[n for n in wanted if n not in given and not n.endswith('num_batches_tracked')],
        unexpected=[name for name in given if name not in wanted],
        misshaped=[f'{n} {shapes[n]} instead of {tuple(wanted[n].shape)}' for n in misshaped],
    )


def find_resumable(folder: str | Path) -> tuple[Path | None, list[str]]:
    """The checkpoint that training in a folder goes on from.

    It is the one that ``last_checkpoint`` names, also after the folder was moved, or the newest whole one.

    Returns:
        The file, or None if there is none, and why files that come first were passed over.
    """
    folder, passed_over = Path(folder), []
    pointer = folder / 'last_checkpoint'
    named = Path(pointer.read_text().strip()) if pointer.is_file() else None
    candidates = [folder / named.name, named] if named and named.name else []
    others = [
        path for place in {path.parent for path in [*candidates, pointer]} for path in place.glob('*.pth')
    ]
    newest_first = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in dict.fromkeys([path for path in candidates if path.is_file()] + newest_first):
        try:
            checkpoint = load_from_local(path, 'cpu', mmap=True)
        except UnreadableCheckpointError as error:
            passed_over.append(str(error))
            continue
        if all(key in checkpoint for key in RESUMABLE):
            return path, passed_over
    return None, passed_over


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local files that are whole or absent: written beside the old file, synced, then put in its place."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file; if that fails, the old one stays and nothing else does.

        Raises:
            OSError: it could not be written; the message names the file.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
        try:
            with partial.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise OSError(error.errno, f'{path} could not be written: {error.strerror}') from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write a text file in the same way."""
        self.put(obj.encode(encoding), filepath)

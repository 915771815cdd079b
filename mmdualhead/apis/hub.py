"""Models from repositories of the Hugging Face Hub."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmdualhead.errors import UserError

SCHEME = 'hf://'

NAME = re.compile(SCHEME + r'(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+\.pth))?')
"""``hf://OWNER/NAME``, ``hf://OWNER/NAME@REVISION`` and both with ``/FILE.pth`` behind."""


def fetched(model: Any) -> Any:
    """A checkpoint in a repository as a file of the local cache; anything else as it is.

    What was loaded once is there without a network. Checkpoints are read as any others, without running code.

    Args:
        model: what names a model, e.g. ``'hf://owner/name'``, whose repository holds one checkpoint.

    Raises:
        UserError: no such repository or file, several checkpoints, no network, or no ``huggingface_hub``.
    """
    if not (isinstance(model, str) and model.startswith(SCHEME)):
        return model
    named = NAME.fullmatch(model)
    if named is None:
        raise UserError(f'{model}: expected {SCHEME}OWNER/NAME, with @REVISION or /FILE.pth or both behind')
    if find_spec('huggingface_hub') is None:
        raise UserError(f'{model}: huggingface_hub is not installed: pip install "mmdualhead[hf]"')
    return _one_checkpoint(model, _download(model, **named.groupdict()), named['file'])


def _download(model: str, repo: str, revision: str | None, file: str | None) -> Path:
    """The folder of the cache with the checkpoints of a repository."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=file or '*.pth'))
    except (OSError, ValueError) as error:  # those of huggingface_hub are both or one of them
        raise UserError(f'{model}: {" ".join(str(error).split())}') from error


def _one_checkpoint(model: str, folder: Path, file: str | None) -> Path:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob('*.pth'))]
    if file is not None and file not in names:
        raise UserError(f'{model}: there is no such file; the repository holds {", ".join(names) or "none"}')
    if file is None and len(names) != 1:
        listed = f'name one of {", ".join(names)}' if names else 'there is none (*.pth)'
        raise UserError(f'{model} has {len(names)} checkpoints: {listed}')
    return folder / (file or names[0])

"""MediaPipe's file of networks: one of a user's own, or the official one, fetched once."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.request import urlopen

from mmdualhead.errors import UserError
from mmdualhead.utils.files import atomic_write

ADDRESS = (
    'https://storage.googleapis.com/mediapipe-models/pose_landmarker/pose_landmarker_full/float16/latest/'
    'pose_landmarker_full.task'
)
TIMEOUT = 30
"""Seconds without an answer."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/mmdualhead``, by default below ``~/.cache``."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmdualhead'


def find_bundle(path: str | Path | None = None, address: str = ADDRESS) -> Path:
    """The file of networks, which is a ZIP archive.

    Args:
        path: a file; None takes the one in the cache, which is fetched if it is not there.
        address: where it is fetched from.

    Raises:
        FileNotFoundError: the file is missing.
        UserError: it is not a bundle, or could not be fetched.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: no such file')
        if not zipfile.is_zipfile(path):
            raise UserError(f'{path} is not a bundle of MediaPipe (*.task), or damaged')
        return Path(path)
    cached = cache_folder() / address.rpartition('/')[2]
    if not cached.is_file():
        _fetch(address, cached)
    return cached


def _fetch(address: str, path: Path) -> None:
    sys.stderr.write(f'fetching {address} to {path}, once\n')
    try:
        with urlopen(address, timeout=TIMEOUT) as answer, atomic_write(path) as file:
            shutil.copyfileobj(answer, file)
            file.flush()
            if not zipfile.is_zipfile(file.name):
                raise UserError('what came is not a bundle, or incomplete')
    except (OSError, ValueError) as error:  # those of urllib are OSErrors
        reason = getattr(error, 'reason', None) or error
        raise UserError(
            f'{address} could not be fetched ({reason}); fetch it elsewhere and give --pose-model FILE'
        ) from error

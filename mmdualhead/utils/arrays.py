"""NumPy's files, read without unpickling and without unpacking more than a file of their size can mean."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from mmdualhead.utils.files import check_regular
from mmdualhead.utils.memory import BASE, FACTOR, memory_for_file


def load_arrays(path: str | Path) -> np.ndarray | dict[str, np.ndarray]:
    """Read a ``.npy`` or ``.npz`` file.

    Returns:
        The array of a ``.npy`` file; all arrays of an ``.npz`` file by name.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a regular file, is damaged, holds Python objects, or unpacks to far more than
            its size.
    """
    check_regular(path)
    content = Path(path).read_bytes()
    _check_unpacked_size(content)
    try:
        with memory_for_file(len(content)):
            loaded = np.load(io.BytesIO(content), allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded}
    except MemoryError:
        raise ValueError(f'asks for more memory than a file of {len(content):,} bytes can need') from None
    except Exception as error:  # NumPy raises a dozen kinds on broken files
        raise ValueError(f'not a readable NumPy file of plain numbers ({error})') from error


def _check_unpacked_size(content: bytes) -> None:
    """Refuse an archive before anything of it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        return
    if unpacked > BASE + FACTOR * len(content):
        raise ValueError(f'{len(content):,} bytes that unpack to {unpacked:,}, which no clips or scores do')

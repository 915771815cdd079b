"""A limit of the memory for reading a file, and memory that is kept between passes."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

BASE = 256 << 20
FACTOR = 64
"""A file of n bytes may take ``BASE + FACTOR * n``: small objects take some 30 times their pickled size."""

STATM = Path('/proc/self/statm')

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h; see mallopt(3)."""


@contextmanager
def memory_for_file(size: int) -> Iterator[None]:
    """While a file is read, the additional memory of the process is limited in proportion to the file size.

    A file can request more: a pickle of a megabyte can request gigabytes. Only Linux can report and limit the
    memory of a process; elsewhere there is no limit.

    Args:
        size: of the file, in bytes.

    Raises:
        MemoryError: raised by the reader of the file when it exceeds the limit.
    """
    if resource is None or not STATM.exists():
        yield
        return
    taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([taken + BASE + FACTOR * size, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def keep_freed_memory() -> None:
    """Let the C library keep the memory of one pass through a network for the next one.

    glibc returns freed memory to the system, which hands it out again page by page: some 10,000 page faults
    in a train step. From here on it keeps up to 2 GB, and blocks of 32 MB and more are still returned. Other
    C libraries are not affected.
    """
    if platform.libc_ver()[0] != 'glibc':
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest that it accepts; unset, it would no longer be learned
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)

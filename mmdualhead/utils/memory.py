"""A limit of the memory for reading a file, and memory that is kept between passes."""

from __future__ import annotations

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

KEPT = 30 << 20
"""A block of this size, in bytes, is one that glibc learns from: it may have at most 32 MB."""

STATM = Path('/proc/self/statm')


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

    glibc returns what is freed to the system, and requests it page by page in the next pass, until the
    process has once freed a large block (mallopt(3), ``M_MMAP_THRESHOLD``): then it keeps up to twice the
    size of that block. Other C libraries are not affected.
    """
    bytearray(KEPT)

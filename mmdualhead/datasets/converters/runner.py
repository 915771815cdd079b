"""The converters' common machinery: several processes, restartable, an atomic result.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import glob
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any

from mmengine.utils import ProgressBar

from mmdualhead.utils.files import FolderLock, remove_partial_files
from mmdualhead.utils.text import SHOWN, plural

from .recording import SHARDS_SUFFIX, ConversionError, RawDataset
from .shards import Normalize, Shard, convert_shard, plan_shards
from .summary import Summary
from .writers import write_pickle

Write = Callable[[Path, Mapping[str, Any]], None]


def convert(
    dataset: RawDataset,
    out: str | Path,
    *,
    write: Write = write_pickle,
    normalize: Normalize | None = None,
    workers: int | None = None,
    skip_malformed: bool = False,
) -> Summary:
    """Convert a whole data set.

    Every raw file is read before malformed ones are reported, so that one run names them all. What was
    read is kept in ``OUT.shards`` until the result is written: an interrupted or failed conversion goes on
    where it stopped, and raw files that changed meanwhile are read anew.

    Args:
        dataset: what to convert.
        out: the result; it replaces an older one, once it is whole.
        write: writes path and ``dict(split=..., annotations=..., meta=...)``: a pickle, or a store.
        normalize: maps each (M, T, V, C) clip to the one to store; None stores raw coordinates.
        workers: processes; None takes all processors that this process may use, 0 works in this one.
        skip_malformed: leave malformed files out, and say so in the summary, rather than fail.

    Returns:
        What was converted and what was left out.

    Raises:
        ConversionError: malformed files without ``skip_malformed``, nothing left to write, a worker process
            was killed, or another conversion to ``out`` is running.
        OSError: something could not be written.
    """
    out = Path(out)
    shards_dir = out.with_name(out.name + SHARDS_SUFFIX)
    lock = FolderLock(shards_dir / 'lock')
    try:
        lock.acquire()
    except BlockingIOError as error:
        raise ConversionError(f'a conversion to {out} is running already: {error}') from error
    try:
        _remove_unfinished(out, shards_dir)
        shards = plan_shards(shards_dir, dataset.recordings, [dataset.read, normalize])
        task = partial(convert_shard, read=dataset.read, normalize=normalize, layout=dataset.meta['layout'])
        _run([shard for shard in shards if not shard.is_done], task, len(dataset.recordings), workers)

        indices = [shard.load_index() for shard in shards]
        clips, faults = ([item for index in indices for item in index[key]] for key in ('clips', 'faults'))
        summary = Summary(out, dataset, clips, faults)
        malformed = [fault for fault in faults if not fault['empty']]
        if malformed and not skip_malformed:
            raise ConversionError(_describe_faults(malformed))
        if not clips:
            raise ConversionError(f'no clip is left to write to {out}\n{summary}')
        meta = {'normalized': normalize is not None, **dataset.meta, 'left_out': summary.left_out}
        annotations = chain.from_iterable(shard.annotations() for shard in shards)
        write(out, dict(split=summary.split, annotations=annotations, meta=meta))
        shutil.rmtree(shards_dir)
        return summary
    finally:
        lock.release()


def _remove_unfinished(out: Path, shards_dir: Path) -> None:
    """Remove what killed conversions to the same result left half written."""
    remove_partial_files(shards_dir)
    target = Path(os.path.realpath(out))
    remove_partial_files(target.parent, glob.escape(target.name))
    for suffix in ('tmp', 'old'):  # of a store
        for folder in out.parent.glob(f'{glob.escape(out.name)}.{suffix}-*'):
            shutil.rmtree(folder, ignore_errors=True)


def _run(shards: Sequence[Shard], task: Callable[[Shard], int], total: int, workers: int | None) -> None:
    """Do the task for each shard, in several processes; ``total`` raw files are in all shards."""
    if not shards:
        return
    remaining = sum(len(shard.recordings) for shard in shards)
    if remaining < total:
        sys.stderr.write(f'going on: {total - remaining} of {total} raw files were read before\n')
    workers = min(len(shards), _available_processors() if workers is None else workers)
    bar = ProgressBar(remaining, file=sys.stderr)
    pool = ProcessPoolExecutor(workers, initializer=_follow_parent) if workers else None
    try:
        counts: Iterable[int] = map(task, shards)
        if pool:
            counts = (done.result() for done in as_completed([pool.submit(task, shard) for shard in shards]))
        for count in counts:
            bar.update(count)
    except BrokenProcessPool as error:
        raise ConversionError(
            'a worker process was killed, perhaps for lack of memory; the same command, perhaps with fewer '
            '--workers, goes on from there'
        ) from error
    finally:
        # After an interrupt, shards that are being read are finished; the rest waits for the next run.
        if pool:
            pool.shutdown(cancel_futures=True)
        sys.stderr.write('\n')


def _follow_parent() -> None:
    """Workers leave interrupts to their parent, and end with it even if it is killed."""

    def follow(parent: multiprocessing.process.BaseProcess) -> None:
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def _available_processors() -> int:
    affinity = getattr(os, 'sched_getaffinity', None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _describe_faults(malformed: Sequence[Mapping[str, Any]]) -> str:
    more = len(malformed) - SHOWN
    lines = [f'{plural(len(malformed), "malformed raw file")} (--on-error skip leaves them out):']
    lines += [f'{fault["path"]}: {fault["reason"]}' for fault in malformed[:SHOWN]]
    lines += [f'... and {more} more'] * (more > 0)
    return '\n  '.join(lines)

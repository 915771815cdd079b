"""The converters' common machinery: several processes, resumable, with an atomic result.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import glob
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from mmengine.utils import ProgressBar

from mmdualhead.datasets.annotations.clip_files import SUFFIX as STORE_SUFFIX
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import Finding, UserError
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.files import FolderLock, remove_partial_files
from mmdualhead.utils.text import SHOWN, plural

from .raw_clip import Normalize, Outcome, read_clip
from .raw_dataset import UNFINISHED_SUFFIX, RawDataset
from .summary import Summary
from .unfinished import Unfinished, describe_step, state_of
from .writers import write_pickle

Read = Callable[[Recording], tuple[Outcome, dict[str, Any] | None]]

CHUNK = 8
"""Raw files per task of a worker process."""

OF_PROCESS = re.compile(r'\.(tmp|old)-\d+')
"""How the names of the folders end that a process makes beside a store."""

AHEAD = 3
"""Pending chunks per process; limits memory, since clips are kept in order."""


def convert(
    dataset: RawDataset,
    out: str | Path,
    *,
    normalize: Normalize | None = None,
    workers: int | None = None,
    skip_malformed: bool = False,
) -> Summary:
    """Convert a data set.

    Every raw file is read before malformed ones are reported, so that one run names them all. Results are
    kept in ``OUT.unfinished`` until the result is written: an interrupted or failed conversion continues
    after the last complete clip, and raw files that have changed are read again.

    Args:
        dataset: what to convert.
        out: the result, a store if it is named ``NAME.store``, otherwise a pickle; an older one is replaced
            once it is complete.
        normalize: maps each clip to the one to store; None stores raw coordinates.
        workers: processes; None uses all processors available to this process, 0 works in this process.
        skip_malformed: skip malformed files and report them in the summary instead of failing.

    Returns:
        A summary of the converted and the excluded clips.

    Raises:
        UserError: malformed files without ``skip_malformed``, nothing left to write, two clips with the same
            name, a worker process was killed, or another conversion to ``out`` is running.
        OSError: something could not be written.
    """
    out = Path(out)
    folder = out.with_name(out.name + UNFINISHED_SUFFIX)
    _check_names(dataset.recordings)
    lock = FolderLock(folder / 'lock')
    try:
        lock.acquire()
    except BlockingIOError as error:
        raise UserError(f'another conversion to {out} is running: {error}') from error
    try:
        _remove_unfinished(out)
        layout = dataset.meta['layout']
        how = [describe_step(dataset.read), describe_step(normalize), json.dumps(layout)]
        read = partial(read_clip, read=dataset.read, normalize=normalize, skeleton=get_skeleton(layout))
        with closing(Unfinished(folder, how)) as unfinished:
            _read_missing(dataset.recordings, read, unfinished, workers)
            summary = _write_result(dataset, out, unfinished, normalize is not None, skip_malformed)
        shutil.rmtree(folder)
        return summary
    finally:
        lock.release()


def _check_names(recordings: Sequence[Recording]) -> None:
    """Reject clips with the same name, of which annotation files can contain only one."""
    for name, count in Counter(recording.name for recording in recordings).most_common(1):
        if count > 1:
            raise UserError(f'{count} recordings are named {name!r}; each clip needs a unique name')


def _remove_unfinished(out: Path) -> None:
    """Remove what killed conversions to the same result have left: partial files, and folders by process."""
    target = Path(os.path.realpath(out))
    remove_partial_files(target.parent, glob.escape(target.name))
    for folder in out.parent.glob(f'{glob.escape(out.name)}.*'):
        if OF_PROCESS.fullmatch(folder.suffix):
            shutil.rmtree(folder, ignore_errors=True)


def _read_missing(
    recordings: Sequence[Recording], read: Read, unfinished: Unfinished, workers: int | None
) -> None:
    """Read the raw files that were not read before, or have changed, and keep the results in order."""
    states = [(recording, state_of(recording)) for recording in recordings]
    missing = [(recording, state) for recording, state in states if not unfinished.has(state)]
    if not missing:
        return
    before = len(recordings) - len(missing)
    if before:
        sys.stderr.write(f'continuing: {before} of {len(recordings)} raw files were read before\n')
    bar = ProgressBar(len(missing), file=sys.stderr)
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    files = [[recording for recording, _ in chunk] for chunk in chunks]
    workers = min(len(chunks), _available_processors() if workers is None else workers)
    try:
        with closing(_read_chunks(files, read, workers)) as results:
            for chunk, result in zip(chunks, results, strict=True):
                for (_, state), (outcome, annotation) in zip(chunk, result, strict=True):
                    unfinished.add(state, outcome, annotation)
                bar.update(len(chunk))
    except BrokenProcessPool as error:
        raise UserError(
            'a worker process was killed, perhaps for lack of memory; the same command, perhaps with fewer '
            '--workers, continues from there'
        ) from error
    finally:
        sys.stderr.write('\n')


def _read_chunks(
    chunks: Sequence[Sequence[Recording]], read: Read, workers: int
) -> Generator[Iterable[Any], None, None]:
    """The results of the raw files of each chunk, in order; read in worker processes, if there are any."""
    if not workers:
        yield from (map(read, chunk) for chunk in chunks)
        return
    pool = ProcessPoolExecutor(workers, initializer=_follow_parent)
    pending: deque[Future] = deque()
    try:
        for chunk in chunks:
            pending.append(pool.submit(_read_all, chunk, read))
            if len(pending) >= AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_all(chunk: Sequence[Recording], read: Read) -> list[Any]:
    return list(map(read, chunk))


def _write_result(
    dataset: RawDataset,
    out: Path,
    unfinished: Unfinished,
    normalized: bool,
    skip_malformed: bool,
) -> Summary:
    """Write the result, unless there are malformed files."""
    summary = Summary(out, dataset, {r.name: unfinished.outcomes[r.name] for r in dataset.recordings})
    malformed = [finding for finding in summary.missing.values() if finding.is_error]
    if malformed and not skip_malformed:
        raise UserError(_describe_malformed(malformed))
    names = list(summary.clips)
    if not names:
        raise UserError(f'no clip is left to write to {out}\n{summary}')
    meta = {'normalized': normalized, **dataset.meta, 'left_out': summary.left_out}
    data = dict(split=summary.split, annotations=unfinished.annotations(names), meta=meta)
    if out.suffix == STORE_SUFFIX:
        unfinished.write_store(out, data, names)
    else:
        write_pickle(out, data)
    return summary


def _follow_parent() -> None:
    """Workers ignore interrupts, which the parent handles, and end with it even if it is killed."""

    def follow(parent: multiprocessing.process.BaseProcess) -> None:
        parent.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def _available_processors() -> int:
    affinity = getattr(os, 'sched_getaffinity', None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _describe_malformed(malformed: Sequence[Finding]) -> str:
    more = len(malformed) - SHOWN
    lines = [f'{plural(len(malformed), "malformed raw file")} (use --on-error skip to skip them):']
    lines += map(str, malformed[:SHOWN])
    lines += [f'... and {more} more'] * (more > 0)
    return '\n  '.join(lines)

"""Partial results of a conversion on disk, so that the same command continues after the last complete clip.

``OUT.unfinished/`` contains a lock, the files of a store to which clips are appended in the order of reading
(``clips/``), and a journal (``read.jsonl``): a line that describes how raw files are read, then one line per
file read, with its size and time. With splits and a name, it becomes a store.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mmdualhead.datasets.annotations.clip_files import ClipFiles
from mmdualhead.datasets.annotations.store import replace_folder, write_store
from mmdualhead.datasets.poses.files import whole
from mmdualhead.datasets.recording import Recording
from mmdualhead.utils.files import name_in_errors
from mmdualhead.version import __version__

from .raw_clip import Outcome

FORMAT = 4
"""The version of the journal; partial results of another version are not continued."""

State = list[Any]
"""The state of a raw file when it was read: its metadata, size and time."""


class Unfinished:
    """The working folder of a conversion.

    Args:
        folder: the folder; partial results of an earlier conversion in it are continued.
        how: how clips are read from raw files; results that were read in another way, or by another version
            of this package, are discarded.

    Attributes:
        outcomes: of the raw files that were read, by the names of their clips.
    """

    def __init__(self, folder: Path, how: Sequence[Any]) -> None:
        self.folder = folder
        self.outcomes: dict[str, Outcome] = {}
        self._states: dict[str, State] = {}
        self._positions: dict[str, int] = {}
        path = folder / 'read.jsonl'
        first = json.dumps([FORMAT, __version__, *how]).encode() + b'\n'
        lines = _read_journal(path, first)
        known = [(outcome.label, outcome.shape) for _, _, outcome in lines if not outcome.finding]
        with name_in_errors(folder):
            self._clips = ClipFiles(folder / 'clips', known=known)
            end = self._recall(lines)
            self._journal = path.open('ab')
            self._journal.truncate(end)
            if not end:
                self._journal.write(first)

    def _recall(self, lines: Sequence[tuple[int, State, Outcome]]) -> int:
        """Restore the lines of the journal before the first lost clip; returns where they end."""
        end = position = 0
        for line_end, state, outcome in lines:
            if not outcome.finding and position == len(self._clips):
                break
            self._note(state, outcome, position)
            position += not outcome.finding
            end = line_end
        return end

    def _note(self, state: State, outcome: Outcome, position: int) -> None:
        name = state[0]
        self._states[name], self.outcomes[name], self._positions[name] = state, outcome, position

    def has(self, state: State) -> bool:
        """True if the raw file was read in its current state."""
        return self._states.get(state[0]) == state

    def add(self, state: State, outcome: Outcome, annotation: Mapping[str, Any] | None) -> None:
        """Record the outcome of a raw file.

        Args:
            state: of the raw file before it was read.
            outcome: the result of reading it.
            annotation: the clip, if there is one.

        Raises:
            OSError: it could not be written.
        """
        position = len(self._clips)
        with name_in_errors(self.folder):
            if annotation is not None:
                self._clips.append(annotation)
                self._clips.flush()
            self._journal.write(json.dumps([state, *outcome.to_json()]).encode() + b'\n')
            self._journal.flush()
        self._note(state, outcome, position)

    def annotations(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The clips of these names; their arrays are mapped from disk."""
        return self._clips.annotations([self._positions[name] for name in names])

    def write_store(self, out: Path, data: Mapping[str, Any], names: Sequence[str]) -> None:
        """Turn the folder into a store; write a new one if its clips are superseded or in another order.

        Args:
            out: the store.
            data: ``dict(split=..., annotations=..., meta=...)``.
            names: of the annotations.

        Raises:
            OSError: it could not be written.
        """
        if [self._positions[name] for name in names] != list(range(len(self._clips))):
            write_store(out, data)
            return
        split = {key: [self._positions[name] for name in clips] for key, clips in data['split'].items()}
        with name_in_errors(out):
            self._clips.finish(split, data['meta'])
            replace_folder(self._clips.folder, out)

    def close(self) -> None:
        """Close the folder, which another conversion can continue."""
        self._clips.close()
        with suppress(OSError):  # as with the clips, data that a full disk rejects is lost
            self._journal.close()


def state_of(recording: Recording) -> State:
    """The state of a raw file, or of all in its folder of frames; only its name if it does not exist."""
    try:
        whole_path = whole(recording.path)
        stat = whole_path.stat()
        inner = [path.stat() for path in whole_path.iterdir()] if whole_path.is_dir() else []
    except OSError:  # reading it reports the fault
        return [recording.name]
    shape = recording.img_shape and list(recording.img_shape)
    known = [recording.name, recording.label, recording.subject, shape, str(recording.path)]
    states = [stat, *inner]
    return [*known, sum(one.st_size for one in states), max(one.st_mtime_ns for one in states)]


def describe_step(step: Callable[..., Any] | None) -> str:
    """A function and its bound arguments as text, to recognize its results."""
    if isinstance(step, partial):
        return f'{describe_step(step.func)} {step.args} {sorted(step.keywords.items())}'
    return f'{step.__module__}.{step.__qualname__}' if step else 'none'


def _read_journal(path: Path, first: bytes) -> list[tuple[int, State, Outcome]]:
    """The complete lines of a journal after the first, each with its end."""
    content = path.read_bytes() if path.is_file() else b''
    if not content.startswith(first):
        return []
    lines, end = [], len(first)
    for line in content[end:].splitlines(keepends=True):
        try:
            state, *outcome = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b'\n'):
            break
        end += len(line)
        lines.append((end, state, Outcome.of_json(outcome)))
    return lines

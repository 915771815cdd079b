"""One interface to annotation files of either kind, a pickle in memory or a store on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.checks import (
    SHOWN,
    AnnotationError,
    ClipTable,
    Expectation,
    Finding,
    Report,
    check_meta,
    check_table,
    clip_name,
    is_integer,
    tabulate,
)
from mmdualhead.datasets.annotations.splits import (
    WHOLE,
    counterparts,
    describe_duplicates,
    find_duplicates,
    protocol_and_role,
    shared_subjects,
)
from mmdualhead.datasets.annotations.store import Store, StoreClips
from mmdualhead.utils.pickles import load_annotations

FORMAT = (
    'dict(split={name: [frame_dir, ...]}, annotations=[dict(frame_dir, label, total_frames, keypoint), ...])'
)


class PickledAnnotations:
    """A pickle in one of the formats of MMAction2's ``PoseDataset``, read into memory.

    A bare list of annotations, or a single one, has one split, :data:`WHOLE`.

    Args:
        path: the file.

    Attributes:
        path: where it is.
        meta: what the converter recorded about it.
        splits: names of its splits.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a pickle of plain data, or not in the format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        data = _with_splits(load_annotations(self.path))
        if not isinstance(data, Mapping) or not {'split', 'annotations'} <= set(data):
            kind = type(data).__name__
            has = f'keys {sorted(map(str, data))[:SHOWN]}' if isinstance(data, Mapping) else f'a {kind}'
            raise AnnotationError(f'{self.path}: expected {FORMAT}, found {has}')
        self.annotations, self._names = data['annotations'], data['split']
        try:
            self.meta = check_meta(data.get('meta'))
        except AnnotationError as error:
            raise AnnotationError(f'{self.path}: {error}') from None
        self._check_containers()
        first = self.annotations[0] if self.annotations else None
        # MMAction2, too, goes by the first annotation.
        key = 'filename' if isinstance(first, Mapping) and 'filename' in first else 'frame_dir'
        self._clip_names = [_name(clip, key) for clip in self.annotations]
        if not self._names:
            self._names = {WHOLE: [name for name in self._clip_names if name is not None]}
        self.splits = [str(name) for name in self._names]

    def _check_containers(self) -> None:
        def require(what: str, value: Any, *kinds: type) -> None:
            if not isinstance(value, kinds):
                found = f'{what} is a {type(value).__name__}'
                raise AnnotationError(f'{self.path}: expected {FORMAT}; {found}')

        require('annotations', self.annotations, list)
        require('split', self._names, Mapping)
        for split, names in self._names.items():
            require(f'split {split!r}', names, list, tuple, set, np.ndarray)
            for name in (name for name in names if not isinstance(name, str)):
                require(f'{name!r} in split {split!r}', name, str)

    def select(self, split: str) -> list[dict]:
        """The annotations of a split, and those that can't be told to belong to any, for :meth:`table`."""
        names = set(self._names[split])
        named = zip(self.annotations, self._clip_names, strict=True)
        return [clip for clip, name in named if name is None or name in names]

    def split_faults(self, split: str, others: Sequence[str]) -> list[Finding]:
        """Names without annotation, names with two, and names that ``others`` hold, too."""
        names = set(self._names[split])
        there = Counter(name for name in self._clip_names if name is not None and name in names)
        absent = sorted(names - set(there))
        twice = [name for name, count in there.items() if count > 1]
        every = f'an annotation for every name in {split!r}'
        found = [
            Finding.of('split', every, absent, lambda name: (name, 'no annotation')),
            Finding.of('frame_dir', 'one annotation per name', twice, self._namesakes),
        ]
        for other in others:
            both = sorted(names & set(self._names[other]))
            expected = f'no clip in both {split!r} and {other!r}'
            found.append(Finding.of('split', expected, both, lambda name: (name, 'in both')))
        return [finding for finding in found if finding.count]

    def _namesakes(self, name: str) -> tuple[str, str]:
        named = zip(self.annotations, self._clip_names, strict=True)
        labels = [str(clip.get('label')) for clip, of in named if of == name]
        return name, f'{len(labels)} annotations, labels {labels}'

    def table(self, clips: Sequence[dict], multi_class: bool) -> tuple[ClipTable, list[Finding]]:
        """The table of selected annotations, and the faults of those that have no place in it."""
        return tabulate(clips, multi_class)


AnnotationFile = PickledAnnotations | Store
"""Either kind: ``path``, ``meta`` and ``splits`` of a file, and the methods that both have."""


def open_annotations(path: str | Path) -> AnnotationFile:
    """Open an annotation pickle or a store.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: it can't be read, or is not an annotation file.
    """
    return Store(path) if Path(path).is_dir() else PickledAnnotations(path)


def describe_missing(path: Path, source: str) -> str:
    """What to tell the user of an annotation file that isn't there.

    Args:
        path: the file.
        source: sentences that say where it comes from.
    """
    store = path.with_suffix('.store')
    found = f'{store} is there, which ann_file could name. ' if store.exists() else ''
    return f'annotation file {path} is missing. {found}{source}'.strip()


class CheckedSplit(NamedTuple):
    """What :func:`check_split` returns.

    Attributes:
        report: faults and notes.
        clips: the annotations to use.
        table: a row for every clip of the split; None where some are malformed or none were looked at.
    """

    report: Report
    clips: Sequence[dict]
    table: ClipTable | None = None


def check_split(file: AnnotationFile, split: str, expected: Expectation | None) -> CheckedSplit:
    """Check the clips of a split, and that its counterpart splits share none.

    Args:
        file: the annotations.
        split: name of the split.
        expected: what the run expects of its clips; None leaves the clips themselves unchecked.
    """
    faults = file.split_faults(split, counterparts(split, file.splits))
    clips = file.select(split)
    if expected is None or not len(clips):
        return CheckedSplit(Report(faults), clips)
    table, malformed = file.table(clips, expected.multi_class)
    if malformed:
        return CheckedSplit(Report(faults + malformed), clips)
    report, usable = check_table(table, expected, clips.__getitem__)
    report.faults = faults + report.faults
    if not report.faults and protocol_and_role(split)[1] == 'test':
        for other in counterparts(split, file.splits):
            others = file.select(other)
            duplicates = _duplicates(file, clips, table, others, expected.multi_class)
            notes = (
                describe_duplicates(duplicates, other, len(clips)),
                shared_subjects(clip_infos(clips), clip_infos(others), split, other),
            )
            report.notes += [note for note in notes if note.count]
    if not usable.all():
        clips = clips[usable] if isinstance(clips, StoreClips) else list(compress(clips, usable))
    return CheckedSplit(report, clips, table)


def clip_infos(clips: Any) -> Iterable[Mapping[str, Any]]:
    """Selected annotations, of a store without what is not in their JSON."""
    return clips.infos() if isinstance(clips, StoreClips) else clips


class ClipFacts(NamedTuple):
    """What is known of n clips without their keypoints, small enough to be kept.

    Attributes:
        labels: (n,) classes; 0 where a clip has several.
        persons: (n,) M of the keypoints.
        keys: (n,) hashes of name, class and number of frames, by which clips are known in other files.
    """

    labels: np.ndarray
    persons: np.ndarray
    keys: np.ndarray


def clip_facts(clips: Sequence[Any]) -> ClipFacts | None:
    """The facts of annotations in memory or in a store; None if there are none or one has no keypoints."""
    names: Iterable[str]
    labels: Any
    shape: Any
    if isinstance(clips, StoreClips):
        names = [info['frame_dir'] for info in clips.infos()]
        labels, shape = clips.records['label'], clips.records['shape'][:, :2]
    else:
        known = []
        for row, clip in enumerate(clips):
            if not isinstance(clip, Mapping) or 'keypoint' not in clip:
                return None
            known.append((clip_name(clip, row), clip.get('label'), np.shape(clip['keypoint'])[:2]))
        if not known:
            return None
        names, labels, shape = zip(*known, strict=True)
    persons, frames = np.array(shape).T
    lines = map('{}|{}|{}'.format, names, labels, frames)
    hashes = b''.join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
    single = np.array([int(label) if is_integer(label) else 0 for label in labels])
    return ClipFacts(single, persons, np.frombuffer(hashes, '<u8'))


def duplicated_clips(file: AnnotationFile, split: str) -> set[str]:
    """The clips of a split that are the same recording as a clip of its counterparts, under another name.

    Raises:
        AnnotationError: the file has no such split, or clips that are malformed.
    """
    if split not in file.splits:
        raise AnnotationError(f'{file.path} has no split {split!r}; it has {sorted(file.splits)}')
    clips = file.select(split)
    table, malformed = file.table(clips, False)
    Report(malformed).raise_faults(f'{file.path}, split {split!r}')
    others = map(file.select, counterparts(split, file.splits))
    return {name for other in others for name in _duplicates(file, clips, table, other, False)}


def _duplicates(
    file: AnnotationFile, clips: Any, table: ClipTable, others: Any, multi_class: bool
) -> dict[str, str]:
    """:func:`find_duplicates` among the clips of another split; none at all if those are malformed."""
    other_table, malformed = file.table(others, multi_class)
    return {} if malformed else find_duplicates(clips, table, others, other_table)


def _with_splits(data: Any) -> Any:
    """The content of a file that is a bare list, or a single annotation of MMAction2's pose extraction."""
    if isinstance(data, Mapping) and 'keypoint' in data:
        data = [data]
    if isinstance(data, list) and data and all(isinstance(clip, Mapping) for clip in data):
        return dict(split={}, annotations=data)
    return data


def _name(clip: Any, key: str) -> str | None:
    """What splits call a clip; None where it has no proper name."""
    name = clip.get(key) if isinstance(clip, Mapping) else None
    return name if isinstance(name, str) else None

"""Annotation files: a pickle in memory and a store on disk, both a list of clips with splits.

N clips, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.checks import check_clips, check_meta
from mmdualhead.datasets.annotations.clip_files import SUFFIX
from mmdualhead.datasets.annotations.clips import ClipList, Clips, ClipTable, describe_clips
from mmdualhead.datasets.annotations.splits import (
    WHOLE,
    check_leaks,
    choose_split,
    counterparts,
    find_duplicates,
    in_both,
    protocol_and_role,
)
from mmdualhead.datasets.annotations.store import Store
from mmdualhead.errors import Finding, Level, UserError, report
from mmdualhead.network_input import DECOMPRESSING, NetworkInput
from mmdualhead.skeletons import SKELETONS, get_skeleton
from mmdualhead.utils.pickles import load_annotations
from mmdualhead.utils.text import SHOWN

FORMAT = (
    'dict(split={name: [frame_dir, ...]}, annotations=[dict(frame_dir, label, total_frames, keypoint), ...])'
)


class PickledAnnotations:
    """A pickle in one of the formats of MMAction2's ``PoseDataset``, read into memory.

    A bare list of annotations, or a single one, has one split, :data:`WHOLE`.

    Args:
        path: the file.
        content: of the file, if it is loaded already.

    Attributes:
        kind: its name for users.
        path: the path.
        meta: what the converter recorded about it.
        splits: names of its splits.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a pickle of plain data, or not in the format.
    """

    kind = 'pickle'

    def __init__(self, path: str | Path, content: Any = None) -> None:
        self.path = Path(path)
        data = _with_splits(load_annotations(self.path) if content is None else content)
        if not isinstance(data, Mapping) or not {'split', 'annotations'} <= set(data):
            kind = type(data).__name__
            has = f'keys {sorted(map(str, data))[:SHOWN]}' if isinstance(data, Mapping) else f'a {kind}'
            raise UserError(f'{self.path}: expected {FORMAT}, found {has}')
        self.annotations, self._names = data['annotations'], data['split']
        try:
            self.meta = check_meta(data.get('meta'))
        except UserError as error:
            raise UserError(f'{self.path}: {error}') from None
        self._check_containers()
        first = self.annotations[0] if self.annotations else None
        # MMAction2 also decides by the first annotation.
        key = 'filename' if isinstance(first, Mapping) and 'filename' in first else 'frame_dir'
        self._clip_names = [_name(clip, key) for clip in self.annotations]
        self._names = {str(split): names for split, names in self._names.items()}
        if not self._names:
            self._names = {WHOLE: [name for name in self._clip_names if name is not None]}
        self.splits = list(self._names)

    def _check_containers(self) -> None:
        def require(what: str, value: Any, *kinds: type) -> None:
            if not isinstance(value, kinds):
                found = f'{what} is a {type(value).__name__}'
                raise UserError(f'{self.path}: expected {FORMAT}; {found}')

        require('annotations', self.annotations, list)
        require('split', self._names, Mapping)
        for split, names in self._names.items():
            require(f'split {split!r}', names, list, tuple, set, np.ndarray)
            for name in (name for name in names if not isinstance(name, str)):
                require(f'{name!r} in split {split!r}', name, str)

    def select(self, split: str | None) -> ClipList:
        """The annotations of a split, or all for None.

        Those that cannot be assigned to a split are in every one, so that checks find them.
        """
        if split is None:
            return ClipList(self.annotations)
        names = set(self._names[split])
        named = zip(self.annotations, self._clip_names, strict=True)
        return ClipList(clip for clip, name in named if name is None or name in names)

    def split_faults(self, split: str, others: Sequence[str]) -> list[Finding]:
        """Names without annotation, names with two, and names that are also in ``others``."""
        names = set(self._names[split])
        present = Counter(name for name in self._clip_names if name is not None and name in names)
        absent = sorted(names - set(present))
        twice = [name for name, count in present.items() if count > 1]
        every = f'an annotation for every name in {split!r}'
        found = describe_clips(Level.ERROR, 'split', every, absent, lambda name: (name, 'no annotation'))
        found += describe_clips(Level.ERROR, 'frame_dir', 'one annotation per name', twice, self._same_name)
        for other in others:
            found += in_both(sorted(names & set(self._names[other])), str, split, other)
        return found

    def _same_name(self, name: str) -> tuple[str, str]:
        named = zip(self.annotations, self._clip_names, strict=True)
        labels = [str(clip.get('label')) for clip, of in named if of == name]
        return name, f'{len(labels)} annotations, labels {labels}'

    def verify(self) -> list[Finding]:
        """Nothing: a pickle has no checksums."""
        return []


AnnotationFile = PickledAnnotations | Store
"""Clips with splits, in a pickle or a store."""


def open_annotations(path: str | Path) -> AnnotationFile:
    """Open an annotation pickle or a store.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it cannot be read, or is not an annotation file.
    """
    return Store(path) if Path(path).is_dir() else PickledAnnotations(path)


def describe_missing(path: Path, source: str) -> str:
    """The message for a missing annotation file.

    Args:
        path: the file.
        source: sentences on where to get it.
    """
    store = path.with_suffix(SUFFIX)
    found = f'{store} is present, which ann_file could name. ' if store.exists() else ''
    where = '' if path.is_absolute() else f' (The current folder is {Path.cwd()}.)'
    source = source or 'mmdualhead data custom converts recordings of your own.'
    return f'annotation file {path} is missing. {found}{source}{where}'


def completed_by(
    file: AnnotationFile, network_input: NetworkInput, num_classes: int | None = None
) -> NetworkInput:
    """What the clips should be for a network input, completed by the layout and classes of the file.

    Args:
        file: the annotations.
        network_input: the input according to the pipeline, and possibly the model.
        num_classes: of the data set; the file may name fewer classes.

    Raises:
        UserError: pipeline and file have different layouts.
    """
    layout, names = file.meta.get('layout'), file.meta.get('classes') or ()
    stored = get_skeleton(layout) if isinstance(layout, Mapping) or layout in SKELETONS else None
    expected = network_input.of_clips
    wanted = expected.skeleton or stored
    if wanted and stored and (wanted.num_joints, wanted.parents) != (stored.num_joints, stored.parents):
        raise UserError(
            f'{file.path}: the pipeline and the data are of different skeleton layouts (pipeline: '
            f'{wanted.name!r}, meta of the file: {stored.name!r})'
        )
    counts = [count for count in (network_input.num_classes, num_classes, len(names)) if count]
    return replace(
        expected,
        skeleton=wanted,
        num_classes=min(counts, default=None),
        classes=network_input.classes or tuple(names),
    )


class CheckedSplit(NamedTuple):
    """The result of :func:`check_split`.

    Args:
        findings: the faults.
        clips: the annotations to use.
        table: one row per clip of the split.
    """

    findings: list[Finding]
    clips: Clips
    table: ClipTable


def check_split(
    file: AnnotationFile,
    split: str,
    network_input: NetworkInput,
    *,
    training: bool = True,
    multi_class: bool = False,
) -> CheckedSplit:
    """Check the clips of a split, and that its counterpart splits share none.

    Args:
        file: the annotations.
        split: name of the split.
        network_input: the input of the network.
        training: whether the clips are trained on; those without a person are then skipped.
        multi_class: labels are lists.
    """
    findings = check_names(file, split)
    clips = file.select(split)
    table, malformed = clips.table(multi_class)
    found = malformed or check_clips(clips, table, network_input, training=training)
    is_sound = not any(finding.is_error for finding in [*findings, *found])
    if is_sound and protocol_and_role(split)[1] == 'test':
        others = {other: file.select(other) for other in counterparts(split, file.splits)}
        found += check_leaks(clips, table, others, split, multi_class)
    findings += located(found, file.path, split)
    empty = table.power == 0
    if training and not malformed and empty.any():
        clips = clips[~empty]
    return CheckedSplit(findings, clips, table)


def is_elsewhere(network_input: NetworkInput, data_prefix: Mapping[str, Any]) -> bool:
    """True if clips get their keypoints later: from other files, or from a step that decompresses them."""
    return 'skeleton' in data_prefix or bool(DECOMPRESSING & set(network_input.other_steps))


def check_names(file: AnnotationFile, split: str) -> list[Finding]:
    """Check the names in a split, without reading the clips."""
    return located(file.split_faults(split, counterparts(split, file.splits)), file.path, split)


def located(findings: list[Finding], path: object, split: str | None) -> list[Finding]:
    """The findings with the file and the split before the field."""
    return [replace(one, where=f'{path}, split {split!r}, {one.where}') for one in findings]


def duplicated_clips(file: AnnotationFile, split: str) -> set[str]:
    """The clips of a split that are the same recording as a clip of its counterparts, under another name.

    Raises:
        UserError: the file has no such split, or clips that are malformed.
    """
    clips = file.select(choose_split(split, file.splits, file.path))
    table, malformed = clips.table()
    report(located(malformed, file.path, split), print)
    others = map(file.select, counterparts(split, file.splits))
    return {name for other in others for name in find_duplicates(clips, table, other)}


def _with_splits(data: Any) -> Any:
    """The content of a file that is a bare list, or a single annotation of MMAction2's pose extraction."""
    if isinstance(data, Mapping) and 'keypoint' in data:
        data = [data]
    if isinstance(data, list) and data and all(isinstance(clip, Mapping) for clip in data):
        return dict(split={}, annotations=data)
    return data


def _name(clip: Any, key: str) -> str | None:
    """The name of a clip in splits; None if it has no valid name."""
    name = clip.get(key) if isinstance(clip, Mapping) else None
    return name if isinstance(name, str) else None

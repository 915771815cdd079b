"""A readable report on the checks of an annotation file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config

from mmdualhead.datasets import transforms  # noqa: F401 (registers our steps)
from mmdualhead.datasets.annotations.clips import ClipTable, tabulate
from mmdualhead.datasets.annotations.files import (
    AnnotationFile,
    CheckedSplit,
    check_names,
    check_split,
    completed_by,
    is_elsewhere,
    open_annotations,
)
from mmdualhead.datasets.annotations.splits import choose_split, protocol_and_role
from mmdualhead.errors import Finding
from mmdualhead.network_input import LOADERS, NetworkInput, datasets_of
from mmdualhead.utils.text import SHOWN, plural

UNSOUND = 'There are errors: training on this file would not start.'
BINS = 8
BAR = 40  # characters of the longest bar


class Use(NamedTuple):
    """What a split is for.

    Args:
        network_input: the input of its network.
        training: whether it is trained on.
        multi_class: labels are lists.
        elsewhere: the keypoints come from other files, or are compressed.
    """

    network_input: NetworkInput
    training: bool
    multi_class: bool = False
    elsewhere: bool = False


def check_file(path: str | Path, config: str | Path | None = None) -> tuple[str, bool]:
    """Check an annotation file and describe it.

    Args:
        path: a pickle or a store.
        config: a config whose data loaders define the splits to check and the input of their models. Without
            one, every split is checked against the file's own meta.

    Returns:
        The report, and True if there are no errors.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it cannot be read, or does not match the config.
    """
    file = open_annotations(path)
    found = file.verify()
    sections = ['\n'.join([_header(file), *map(_line, found)])]
    if any(finding.is_error for finding in found):
        return '\n\n'.join([*sections, UNSOUND]), False
    uses = uses_of_file(file) if config is None else uses_of_config(config, file)
    for split, use in uses.items():
        checked = _checked(file, split, use)
        lines = [f'{split}: {plural(len(checked.clips), "clip")}']
        if len(checked.table.label):
            lines += [f'  {line}' for line in _describe(checked.table, file.meta.get('classes'))]
        sections.append('\n'.join([*lines, *map(_line, checked.findings)]))
        found += checked.findings
    sound = not any(finding.is_error for finding in found)
    sections.append('No errors.' if sound else UNSOUND)
    return '\n\n'.join(sections), sound


def _checked(file: AnnotationFile, split: str, use: Use) -> CheckedSplit:
    if use.elsewhere:
        return CheckedSplit(check_names(file, split), file.select(split), tabulate(())[0])
    return check_split(file, split, use.network_input, training=use.training, multi_class=use.multi_class)


def uses_of_file(file: AnnotationFile) -> dict[str, Use]:
    """The use of every split according to the file's own meta."""
    return {
        split: Use(completed_by(file, _likely_input(file, split)), protocol_and_role(split)[1] != 'test')
        for split in file.splits
    }


def _likely_input(file: AnnotationFile, split: str) -> NetworkInput:
    """The likely input for a split: clips of two coordinates with an image size are in its pixels."""
    first = next(iter(file.select(split)), None)
    if not isinstance(first, Mapping) or first.get('img_shape') is None:
        return NetworkInput()
    in_pixels = np.shape(first.get('keypoint', ()))[-1:] == (2,)
    return NetworkInput(normalization='2d' if in_pixels else '')


def uses_of_config(path: str | Path, file: AnnotationFile) -> dict[str, Use]:
    """The uses of splits by the data loaders of a config."""
    config = Config.fromfile(path)
    uses = {}
    for loader in LOADERS:
        for dataset in datasets_of(config, loader):
            split = choose_split(dataset.get('split'), file.splits, file.path)
            network_input = completed_by(
                file, NetworkInput.of_config(config, loader), dataset.get('num_classes')
            )
            uses[split] = Use(
                network_input,
                training=not dataset.get('test_mode', False),
                multi_class=dataset.get('multi_class', False),
                elsewhere=is_elsewhere(network_input, dataset.get('data_prefix') or {}),
            )
    return uses


def _line(finding: Finding) -> str:
    """A finding without the file and the split, which are named above."""
    field = finding.where.rpartition(', ')[2] if ', ' in finding.where else ''
    return f'{finding.level.value}: {replace(finding, where=field)}'


def _header(file: AnnotationFile) -> str:
    files = [file.path, *file.path.rglob('*')]
    size = sum(part.stat().st_size for part in files if part.is_file())
    lines = [f'{file.path}: {file.kind}, {size / 1e6:,.1f} MB, {plural(len(file.splits), "split")}']
    lines += [f'  {key}: {_brief(value)}' for key, value in file.meta.items()]
    return '\n'.join(lines)


def _brief(value: Any) -> str:
    """A value of the meta, or the size of a long one."""
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and len(value) > SHOWN):
        return f'{len(value)} entries'
    return str(value)


def _describe(table: ClipTable, classes: list[str] | None) -> Iterator[str]:
    """Lengths, classes, persons and joints of the clips in a table."""
    frames = table.shape[:, 1]
    yield f'frames: {_range(frames)}, median {np.median(frames):.0f}'
    yield from (f'  {line}' for line in _histogram(frames))
    labels, counts = np.unique(table.label, return_counts=True)
    of = f' of {len(classes)}' if classes else ''
    yield f'classes: {len(labels)}{of}, {_range(counts)} clip{"s" if counts.max() > 1 else ""} each'
    names = dict(enumerate(classes or ()))
    rare = labels[np.argsort(counts, kind='stable')][:3].tolist()
    shown = [f'{label} ({names[label]})' if label in names else str(label) for label in rare]
    yield f'  fewest clips: {", ".join(shown)}'
    for axis, what in ((0, 'persons'), (2, 'joints'), (3, 'coordinates')):
        values, counts = np.unique(table.shape[:, axis], return_counts=True)
        numbers = zip(values.tolist(), counts.tolist(), strict=True)
        yield f'{what}: ' + ', '.join(f'{value} in {plural(number, "clip")}' for value, number in numbers)


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return str(low) if low == high else f'{low} to {high}'


def _histogram(values: np.ndarray) -> Iterable[str]:
    edges = np.unique(np.linspace(values.min(), values.max() + 1, BINS + 1).astype(int))
    counts, _ = np.histogram(values, edges)
    for low, high, count in zip(edges[:-1], edges[1:] - 1, counts, strict=True):
        yield f'{low:>5}-{high:<5} {"#" * round(BAR * count / counts.max()):<{BAR}} {count}'

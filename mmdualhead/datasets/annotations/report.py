"""The checks of an annotation file as a page to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmengine.config import Config

from mmdualhead.datasets.annotations.checks import SHOWN, AnnotationError, ClipTable, Expectation
from mmdualhead.datasets.annotations.files import AnnotationFile, check_split, open_annotations
from mmdualhead.datasets.annotations.splits import choose_split, protocol_and_role
from mmdualhead.datasets.annotations.store import Store
from mmdualhead.datasets.pipelines import pipeline_expectation
from mmdualhead.utils.text import plural

BINS = 8
BAR = 40  # characters of the longest bar


def check_file(path: str | Path, config: str | Path | None = None) -> tuple[str, bool]:
    """Check an annotation file and describe it.

    Args:
        path: a pickle or a store.
        config: a config whose data loaders say which splits to check and what their models expect. Without
            one every split is checked against what the file says of itself.

    Returns:
        The page, and whether there are no faults.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it can't be read, or does not go with the config.
    """
    file = open_annotations(path)
    plans = expectations_of_file(file) if config is None else expectations_of_config(config, file)
    damage, note = _damage(file)
    sections, sound = ['\n'.join([_heading(file), *note, *(f'FAULT {line}' for line in damage)])], not damage
    for split, expected in plans.items():
        checked = check_split(file, split, expected)
        lines = [f'{split}: {plural(len(checked.clips), "clip")}']
        if checked.table is not None and len(checked.table.label):
            lines += [f'  {line}' for line in _describe(checked.table, file.meta.get('classes'))]
        lines += [f'FAULT {fault}' for fault in checked.report.faults]
        lines += [f'note {note}' for note in checked.report.notes]
        sound = sound and not checked.report.faults
        sections.append('\n'.join(lines))
    sections.append('No faults.' if sound else 'There are faults: training on this file would not start.')
    return '\n\n'.join(sections), sound


def _damage(file: AnnotationFile) -> tuple[list[str], list[str]]:
    """What the checksums of a store say, and what to know of them."""
    if not isinstance(file, Store):
        return [], []
    try:
        damage = file.damage()
    except AnnotationError as error:
        return [], [f'note {error}']
    more = len(damage) - SHOWN
    return damage[:SHOWN] + ([f'and {more} more'] if more > 0 else []), ['  checksums: compared']


def expectations_of_file(file: AnnotationFile) -> dict[str, Expectation]:
    """What a file's meta promises, for every split."""
    expected = pipeline_expectation([], file)
    return {split: expected._replace(training=protocol_and_role(split)[1] != 'test') for split in file.splits}


def expectations_of_config(path: str | Path, file: AnnotationFile) -> dict[str, Expectation]:
    """What the data loaders of a config expect, by split."""
    config = Config.fromfile(path)
    expectations = {}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = (config.get(loader) or {}).get('dataset') or {}
        while 'dataset' in dataset:  # RepeatDataset and the like
            dataset = dataset['dataset']
        if not dataset:
            continue
        split = choose_split(dataset.get('split'), file.splits, file.path)
        steps = [TRANSFORMS.build(step) for step in dataset['pipeline']]
        expected = pipeline_expectation(steps, file, dataset.get('num_classes'))
        expectations[split] = expected._replace(training=not dataset.get('test_mode', False))
    return expectations


def _heading(file: AnnotationFile) -> str:
    kind, files = ('store', file.path.iterdir()) if file.path.is_dir() else ('pickle', [file.path])
    size = sum(part.stat().st_size for part in files)
    lines = [f'{file.path}: {kind}, {size / 1e6:,.1f} MB, {plural(len(file.splits), "split")}']
    lines += [f'  {key}: {_brief(value)}' for key, value in file.meta.items()]
    return '\n'.join(lines)


def _brief(value: Any) -> str:
    """A value of the meta; of a long one its size."""
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and len(value) > SHOWN):
        return f'{len(value)} entries'
    return str(value)


def _describe(table: ClipTable, classes: list[str] | None) -> Iterator[str]:
    """Lengths, classes, persons and joints of the clips in a table."""
    frames = table.shape[:, 1]
    yield f'frames: {frames.min()} to {frames.max()}, median {np.median(frames):.0f}'
    yield from (f'  {line}' for line in _histogram(frames))
    labels, counts = np.unique(table.label, return_counts=True)
    of = f' of {len(classes)}' if classes else ''
    yield f'classes: {len(labels)}{of}, {counts.min()} to {counts.max()} clips each'
    names = dict(enumerate(classes or ()))
    rare = labels[np.argsort(counts, kind='stable')][:3].tolist()
    shown = [f'{label} ({names[label]})' if label in names else str(label) for label in rare]
    yield f'  fewest clips: {", ".join(shown)}'
    for axis, what in ((0, 'persons'), (2, 'joints'), (3, 'coordinates')):
        values, counts = np.unique(table.shape[:, axis], return_counts=True)
        numbers = zip(values.tolist(), counts.tolist(), strict=True)
        yield f'{what}: ' + ', '.join(f'{value} in {plural(number, "clip")}' for value, number in numbers)


def _histogram(values: np.ndarray) -> Iterable[str]:
    edges = np.unique(np.linspace(values.min(), values.max() + 1, BINS + 1).astype(int))
    counts, _ = np.histogram(values, edges)
    for low, high, count in zip(edges[:-1], edges[1:] - 1, counts, strict=True):
        yield f'{low:>5}-{high:<5} {"#" * round(BAR * count / counts.max()):<{BAR}} {count}'

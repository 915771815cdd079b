"""Do the data of a run fit its network, each other, and those that its checkpoint was trained on?

Some clips of each loader are taken through their pipeline and looked at as the network gets them. Classes and
names are compared for all clips. S samples of a clip, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmaction.datasets import PoseDataset
from mmengine.dataset import BaseDataset
from torch import nn

from mmdualhead.datasets.annotations.checks import SHOWN, clip_name
from mmdualhead.datasets.annotations.files import ClipFacts, clip_facts
from mmdualhead.datasets.pipelines import step_skeleton
from mmdualhead.engine.checkpoints import RunError, unwrapped
from mmdualhead.engine.findings import Fault, Note
from mmdualhead.engine.loaders import seed_all
from mmdualhead.models.backbone import STGCBackbone
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton
from mmdualhead.utils.text import plural

PROBED = 16
"""Clips of a loader that are taken through its pipeline."""

REMEMBERED = 1024
"""Clips of a training that a checkpoint remembers."""

AXES = {'num_person': 'person', 'joints': 'joint', 'in_channels': 'channel'}
"""What configs call M, V and C, and what one of each is."""

OTHER_UNIT, OTHER_SCALE = 8.0, 3.0
"""Ratios of coordinates that are a fault, and that are worth a warning."""


class LoaderData:
    """The data behind a loader.

    Args:
        name: of the loader, e.g. ``'train_dataloader'``.
        dataset: its data set.
    """

    def __init__(self, name: str, dataset: Any) -> None:
        self.name = name
        self.dataset = dataset
        self.sets = list(_innermost(dataset))

    @cached_property
    def facts(self) -> ClipFacts | None:
        """Of all clips; None where some hold no keypoints."""
        found = [clip_facts(_clips(part)) for part in self.sets]
        if not found or None in found:
            return None
        return ClipFacts(*map(np.concatenate, zip(*found, strict=True)))

    def clip_name(self, row: int) -> str:
        """Of a clip, by its row in :attr:`facts`."""
        for clips in map(_clips, self.sets):
            if row < len(clips):
                return clip_name(clips[row], row)
            row -= len(clips)
        raise IndexError(row)

    @cached_property
    def inputs(self) -> list[np.ndarray]:
        """Clips as the network gets them, each (S, M, T, V, C)."""
        places = np.unique(np.linspace(0, len(self.dataset) - 1, PROBED).astype(int)) if self.sets else ()
        with undisturbed_random():
            seed_all(0)
            clips = [self._load(int(place)) for place in places]
        arrays = [np.asarray(clip['inputs']) for clip in clips if 'inputs' in clip]
        return [array for array in arrays if array.ndim == 5]

    def _load(self, place: int) -> Mapping[str, Any]:
        try:
            clip = self.dataset[place]
        except ValueError as error:
            raise RunError(f'{self.name}: the pipeline fails with clip #{place}: {error}') from error
        return clip if isinstance(clip, Mapping) else {}

    @cached_property
    def scale(self) -> float:
        """The median clip's root mean square, of the joints that are there; 0 where none are."""
        sizes = [np.sqrt(np.mean(np.square(x[x.any(-1)], dtype=np.float64))) for x in self.inputs if x.any()]
        return float(np.median(sizes)) if sizes else 0.0

    @property
    def skeletons(self) -> list[Skeleton]:
        """The layouts that the data sets' steps or files name."""
        found = []
        for part in self.sets:
            steps = getattr(getattr(part, 'pipeline', None), 'transforms', ())
            named = [*map(step_skeleton, steps), _find_skeleton(part.metainfo.get('layout'))]
            found += [skeleton for skeleton in named if skeleton is not None][:1]
        return found

    @property
    def splits(self) -> list[str]:
        """The names of the splits."""
        return sorted({str(split) for _, split in self.source})

    @property
    def source(self) -> list[tuple[Any, Any]]:
        """The file and the split of each data set."""
        return [(part.ann_file, getattr(part, 'split', None)) for part in self.sets]


def _innermost(dataset: Any) -> Iterator[PoseDataset]:
    """The data sets of skeletons within RepeatDataset, ConcatDataset and the like."""
    if isinstance(dataset, PoseDataset):
        yield dataset
        return
    for part in getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]:
        if part is not None:
            yield from _innermost(part)


class _PackedClips(Sequence):
    """The clips of a data set that MMEngine has pickled into one buffer, as it does for ``PoseDataset``."""

    def __init__(self, dataset: PoseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        return BaseDataset.get_data_info(self.dataset, row)


def _clips(dataset: PoseDataset) -> Sequence[dict]:
    return _PackedClips(dataset) if dataset.serialize_data else dataset.data_list


@contextmanager
def undisturbed_random() -> Iterator[None]:
    """Leave the random numbers of Python, NumPy and PyTorch as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def check_network(config: Mapping[str, Any], model: nn.Module, data: LoaderData) -> Iterator[Fault | Note]:
    """Compare what a loader gives with what the network takes: classes, layout, persons, joints, channels."""
    model = unwrapped(model)
    yield from _check_classes(getattr(getattr(model, 'cls_head', None), 'num_classes', None), data)
    yield from _check_layout(config.get('model') or {}, data)
    yield from _check_shape(getattr(model, 'backbone', None), data)


def _check_classes(classes: int | None, data: LoaderData) -> Iterator[Fault | Note]:
    if classes is None:
        return
    model = f'model.cls_head.num_classes={classes}'
    labels = data.facts.labels if data.facts else np.empty(0)
    for row in np.flatnonzero((labels < 0) | (labels >= classes))[:1]:
        files = ', '.join(dict.fromkeys(str(part.ann_file) for part in data.sets))
        yield Fault(
            f'{files}, clip {data.clip_name(row)}: label {labels[row]}, expected 0..{classes - 1}, since '
            f'{model}'
        )
    for part in data.sets:
        named = part.metainfo.get('classes')
        if named and len(named) != classes:
            yield Note(f'{part.ann_file} is of {len(named)} classes, but {model}')


def _check_layout(model: Mapping[str, Any], data: LoaderData) -> Iterator[Fault | Note]:
    graph = model.get('graph_cfg') or (model.get('backbone') or {}).get('graph_cfg')
    if not isinstance(graph, Mapping) or graph.get('type', 'SkeletonGraph') != 'SkeletonGraph':
        return
    layout = graph.get('layout', 'nturgb+d')
    wanted = _find_skeleton(layout)
    for skeleton in data.skeletons:
        if wanted is None or (skeleton.num_joints, skeleton.edges) == (wanted.num_joints, wanted.edges):
            continue
        line = (
            f'the graph of the model is of layout {wanted.name!r} ({wanted.num_joints} joints), the data '
            f'of {data.name} of layout {skeleton.name!r} ({skeleton.num_joints} joints)'
        )
        may_be_meant = isinstance(layout, Mapping) and skeleton.num_joints == wanted.num_joints
        yield Note(line) if may_be_meant else Fault(line)


def _find_skeleton(layout: Any) -> Skeleton | None:
    """The skeleton of a layout; None where it is not defined our way, as in graphs of MMAction2."""
    if not isinstance(layout, Mapping) and layout not in SKELETONS:
        return None
    try:
        return get_skeleton(layout)
    except (TypeError, ValueError):
        return None


def _check_shape(backbone: nn.Module | None, data: LoaderData) -> Iterator[Fault | Note]:
    taken = _input_shape(backbone)
    for x in data.inputs:
        if 0 in x.shape:
            yield Fault(f'{data.name}: the pipeline gives clips without frames, shape {x.shape}')
            return
        found = (x.shape[1], x.shape[3], x.shape[4])
        wrong = [
            f'{key}={wanted} in the model, but the pipeline gives {plural(size, noun)}'
            for (key, noun), wanted, size in zip(AXES.items(), taken, found, strict=True)
            if wanted not in (None, size)
        ]
        if wrong:
            yield Fault(f'{data.name}: {", ".join(wrong)}')
            return
    if data.inputs and data.facts and data.facts.persons.max() == 1 < data.inputs[0].shape[1]:
        yield Note(
            f'{data.name}: no clip has a second person, so num_person=1 in pipeline and backbone is enough'
        )


def _input_shape(backbone: nn.Module | None) -> tuple[int | None, int | None, int | None]:
    """The (M, V, C) that a backbone of ours or of MMAction2 takes; None for what it takes any of."""
    if isinstance(backbone, STGCBackbone):
        return backbone.input_shape
    joints = getattr(getattr(backbone, 'graph', None), 'num_node', None)
    channels = getattr(backbone, 'in_channels', None)
    persons = None
    if joints and channels and getattr(backbone, 'data_bn_type', '') == 'MVC':
        persons = backbone.data_bn.num_features // (joints * channels)  # type: ignore[union-attr]
    return persons, joints, channels


def check_evaluation(train: LoaderData, evaluated: LoaderData) -> Iterator[Fault | Note]:
    """Compare the data that a run trains on with those that it is evaluated on: clips, and units."""
    if train.facts and evaluated.facts and train.source != evaluated.source:
        shared = np.flatnonzero(np.isin(evaluated.facts.keys, train.facts.keys))
        if len(shared):
            names = ', '.join(evaluated.clip_name(int(row)) for row in shared[:SHOWN])
            yield Note(
                f'{len(shared):,} of {plural(len(evaluated.facts.keys), "clip")} of {evaluated.name} '
                f'are trained on, too: {names}{", ..." if len(shared) > SHOWN else ""}'
            )
    yield from _check_scale((train.name, train.scale), evaluated)


def _check_scale(trained: tuple[str, float], data: LoaderData) -> Iterator[Fault | Note]:
    name, scale = trained
    if not scale or not data.scale:
        return
    line = (
        f'the coordinates of {data.name} are {data.scale / scale:.3g} times as large as those of {name} '
        f'(root mean square {data.scale:.3g} and {scale:.3g})'
    )
    ratio = max(scale, data.scale) / min(scale, data.scale)
    if ratio >= OTHER_UNIT:
        yield Fault(f'{line}. Are they in another unit, or not normalized?')
    elif ratio >= OTHER_SCALE:
        yield Note(line)


def describe_training(data: LoaderData) -> dict[str, Any]:
    """What a checkpoint remembers of the data that it was trained on.

    Returns:
        ``splits``, the number of ``clips``, the keys of the ``sample`` of them whose keys are smallest, and
        the ``scale`` of the input.
    """
    keys = np.sort(data.facts.keys) if data.facts else np.empty(0, np.uint64)
    return dict(
        splits=data.splits, clips=len(keys), sample=[int(key) for key in keys[:REMEMBERED]], scale=data.scale
    )


def check_against_training(trained: Any, data: LoaderData) -> Iterator[Fault | Note]:
    """Compare the data of an evaluation with those of :func:`describe_training`.

    The sample of the training is all of its clips up to some key. Of the evaluated clips up to that key the
    same share is in it as of all of them in the training.
    """
    if not isinstance(trained, Mapping) or not {'splits', 'clips', 'sample', 'scale'} <= set(trained):
        return
    yield from _check_scale(("the checkpoint's training", trained['scale']), data)
    sample = np.array(trained['sample'], np.uint64)
    if not data.facts or not len(sample):
        return
    keys = data.facts.keys
    is_whole = trained['clips'] <= len(sample)
    compared = keys if is_whole else keys[keys <= sample.max()]
    if shared := int(np.isin(compared, sample).sum()):
        count = f'{shared:,}' if is_whole else f'about {round(shared / len(compared) * len(keys)):,}'
        yield Note(
            f'{count} of {plural(len(keys), "clip")} of {data.name} (split {", ".join(data.splits)}) '
            f'were trained on, in split {", ".join(trained["splits"])}'
        )

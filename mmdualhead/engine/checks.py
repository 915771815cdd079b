"""Do config, data, network and checkpoint fit each other? What is asked before a run.

Clips are checked where they are read (:mod:`mmdualhead.datasets.annotations.checks`).
M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import difflib
import inspect
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.datasets import PoseDataset
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmdualhead.datasets.annotations.checks import check_clips
from mmdualhead.datasets.annotations.clips import ClipFacts, ClipList, Clips
from mmdualhead.datasets.annotations.files import located, open_annotations
from mmdualhead.datasets.annotations.splits import protocol_and_role
from mmdualhead.datasets.plausibility import compare_scales, measure_scale
from mmdualhead.datasets.skeleton_dataset import SkeletonDataset
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.models.backbone import input_shape_of
from mmdualhead.network_input import (
    LOADERS,
    NetworkInput,
    datasets_of,
    graph_of,
    innermost,
    known_skeleton,
    misplaced_steps,
    step_name,
)
from mmdualhead.utils.command import given
from mmdualhead.utils.half import slow_half
from mmdualhead.utils.plain_config import plain, saved_config
from mmdualhead.utils.text import SHOWN, and_more, plural

PHASES = ('train', 'val', 'test')

OTHER_KEYS = (
    *('custom_imports', 'runner_type', 'activation_checkpointing', 'efficient_conv_bn_eval', 'compile'),
    *('find_unused_parameters', 'sync_bn', 'tta_model', 'tta_cfg', 'optim_wrapper', 'sampler'),
    *('model_wrapper_cfg', 'annotations'),
)
"""Top-level keys that are read although they are not arguments of mmengine's Runner."""

OLD_KEYS = {
    'lr_config': 'param_scheduler',
    'total_epochs': 'train_cfg.max_epochs',
    'data': 'train_dataloader',
    'optimizer_config': 'optim_wrapper',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger',
    'evaluation': 'train_cfg.val_interval',
}
"""Keys of MMAction 0.x and PYSKL, and what MMAction2 has in their place."""

PARAMWISE = (
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult'),
    *('flat_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate'),
)
"""What MMEngine's DefaultOptimWrapperConstructor reads of ``paramwise_cfg``."""

MULTIPLIERS = ('lr_mult', 'decay_mult')
"""What it reads of each of ``custom_keys``, beside the optimizer's own arguments."""

LIKENESS = 0.85
"""How like a known key (:meth:`difflib.SequenceMatcher.ratio`) an unknown one is that was meant to be it."""

ONE_LABEL = ('DualHeadMetric', 'DumpScores')
"""Metrics for clips of one class."""

AXES = {'num_person': 'person', 'joints': 'joint', 'in_channels': 'channel'}
"""What configs call M, V and C, and what one of each is."""


class LoaderData:
    """The data behind a loader, and what they give to the network.

    Args:
        name: of the loader, e.g. ``'train_dataloader'``.
        dataset: its data set.
        config: of the run.
    """

    def __init__(self, name: str, dataset: Any, config: Mapping[str, Any]) -> None:
        self.name = name
        self.dataset = dataset
        self.config = config
        self.sets = [part for part in innermost(dataset) if isinstance(part, PoseDataset)]

    @cached_property
    def parts(self) -> list[NetworkInput]:
        """What the config says, with the names of the classes and the scale of the clips, by data set."""
        declared = NetworkInput.of_config(self.config, self.name)
        return [
            replace(
                declared,
                classes=tuple(map(str, part.metainfo.get('classes') or ()))[: declared.num_classes],
                scale=measure_scale(_clips(part), declared),
            )
            for part in self.sets
        ]

    @cached_property
    def network_input(self) -> NetworkInput:
        """That of all data sets together."""
        known = [part.scale for part in self.parts if part.scale]
        return replace(
            self.parts[0] if self.parts else NetworkInput.of_config(self.config, self.name),
            classes=next((part.classes for part in self.parts if part.classes), ()),
            scale=float(np.median(known)) if known else None,
        )

    @cached_property
    def facts(self) -> ClipFacts | None:
        """Of all clips; None where some hold no keypoints."""
        found = [_clips(part).facts() for part in self.sets]
        if not found or None in found:
            return None
        return ClipFacts(*map(np.concatenate, zip(*found, strict=True)))

    @property
    def fingerprint(self) -> str:
        """Of the names, labels and lengths of all clips; empty where some hold no keypoints."""
        if self.facts is None:
            return ''
        return blake2b(np.sort(self.facts.keys).tobytes(), digest_size=8).hexdigest()

    def clip_name(self, row: int) -> str:
        """Of a clip, by its row in :attr:`facts`."""
        for clips in map(_clips, self.sets):
            if row < len(clips):
                return str(clips[row].get('frame_dir', f'#{row}'))
            row -= len(clips)
        raise IndexError(row)

    def first_input(self) -> np.ndarray | None:
        """The first clip as the network gets it (S, M, T, V, C); None where that is something else.

        Raises:
            UserError: the pipeline fails.
        """
        if not self.sets or not len(self.dataset):
            return None
        try:
            with undisturbed_random():
                clip = self.dataset[0]
        except ValueError as error:
            raise UserError(f'{self.name}: the pipeline fails with clip #0: {error}') from error
        array = np.asarray(clip['inputs']) if isinstance(clip, Mapping) and 'inputs' in clip else None
        return array if array is not None and array.ndim == 5 else None

    @property
    def is_random(self) -> bool:
        """True if the pipeline makes something else of the first clip each time."""
        if self.first_input() is None:
            return False
        with undisturbed_random():
            first, again = (self.dataset[0]['inputs'] for _ in range(2))
        return not np.array_equal(first, again, equal_nan=True)

    @property
    def source(self) -> list[dict[str, Any]]:
        """The file and the split of each data set."""
        return [dict(ann_file=str(part.ann_file), split=getattr(part, 'split', None)) for part in self.sets]


def built_data(runner: Runner) -> dict[str, LoaderData]:
    """The data of the loops that are built by now, by phase."""
    loops = {phase: getattr(runner, f'_{phase}_loop') for phase in PHASES}
    return {
        phase: LoaderData(f'{phase}_dataloader', loop.dataloader.dataset, runner.cfg)
        for phase, loop in loops.items()
        if isinstance(loop, BaseLoop)
    }


class _PackedClips(Clips):
    """The clips of a data set that MMEngine has pickled into one buffer, as it does for ``PoseDataset``."""

    def __init__(self, dataset: PoseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        return BaseDataset.get_data_info(self.dataset, row)


def _clips(dataset: PoseDataset) -> Clips:
    if dataset.serialize_data:
        return _PackedClips(dataset)
    return dataset.data_list if isinstance(dataset.data_list, Clips) else ClipList(dataset.data_list)


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


def check_run(
    config: Mapping[str, Any], network: nn.Module, new: Sequence[LoaderData], train: LoaderData | None
) -> Iterator[Finding]:
    """Compare config, data and network with each other.

    Args:
        config: of the run.
        network: built from it, see :func:`~mmdualhead.engine.checkpoints.unwrapped`.
        new: the data of the loaders that were built since the last time.
        train: those of the training, if it has been built.
    """
    yield from check_config(config)
    yield from _check_paramwise(config.get('optim_wrapper') or {}, network)
    for data in new:
        yield from _check_foreign_clips(data)
        yield from check_network(network, config.get('model') or {}, data)
        if data.parts:
            whose = f'of {data.sets[0].ann_file}'
            yield from _check_scale(data.parts[0].scale, data, whose)
            yield from _check_class_order(data.network_input.classes, data, whose)
        if train not in (None, data):
            yield from check_evaluation(train, data)


def check_config(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Look for likely mistakes in a config that would still run.

    Keys that nothing reads; a ``--seed`` without effect; loaders that give the network different input, or
    have the same clips; parts of MMAction2 that would end the run at its first validation.
    """
    yield from _check_parts(config)
    for key, meant in misspelt_keys(config).items():
        yield Finding(Level.WARNING, 'config', f'nothing reads {key!r}; did you mean {meant!r}?')
    yield from _check_seed(config)
    yield from _check_half(config)
    yield from _check_length(config)
    yield from _check_metrics(config)
    clips = {loader: _sources(config, loader) for loader in LOADERS}
    inputs = {loader: NetworkInput.of_config(config, loader) for loader in LOADERS if clips[loader]}
    for loader in LOADERS:
        yield from (Finding(Level.WARNING, loader, line) for line in misplaced_steps(config, loader))
    train = LOADERS[0]
    for loader in LOADERS[1:]:
        if train not in inputs or loader not in inputs:
            continue
        for line in inputs[train].differences(inputs[loader], (f'{train} has', f'{loader} has')):
            may_be_meant = line.startswith(('normalization', 'frames'))
            level = Level.WARNING if may_be_meant else Level.ERROR
            yield Finding(level, loader, f'training and evaluation differ in their {line}')
        if clips[loader] == clips[train] and clips[train][0]['split']:
            text = f'has the clips of the training, split {clips[train][0]["split"]!r}'
            yield Finding(Level.WARNING, loader, text)


def _check_seed(config: Mapping[str, Any]) -> Iterator[Finding]:
    """MMAction2's tools/train.py ignores ``--seed`` and the like where the config has ``randomness``."""
    randomness = config.get('randomness') or {}
    switches = [option for option in ('--deterministic', '--diff-rank-seed') if given(option) is not None]
    for option, value in {'--seed': given('--seed'), **dict.fromkeys(switches, 'True')}.items():
        key = option[2:].replace('-', '_')
        used = randomness.get(key)
        if value and value != str(used):
            text = f"has no effect, since the config's randomness.{key}={used} wins; give --cfg-options"
            yield Finding(Level.ERROR, option, f'{text} randomness.{key}={value} instead')


def _check_half(config: Mapping[str, Any]) -> Iterator[Finding]:
    """``--amp`` on a processor that is slow at half precision."""
    wrapper = config.get('optim_wrapper') or {}
    if wrapper.get('type') == 'AmpOptimWrapper' and (reason := slow_half(get_device())):
        yield Finding(Level.WARNING, '--amp', f'{reason}; train without --amp')


def _check_length(config: Mapping[str, Any]) -> Iterator[Finding]:
    """A run that ends before its first validation, or between two checkpoints."""
    loop, hooks = config.get('train_cfg') or {}, config.get('default_hooks') or {}
    unit = 'iters' if 'max_iters' in loop else 'epochs'
    length, begin = loop.get(f'max_{unit}') or 0, loop.get('val_begin') or 0
    if begin > length:
        text = f'val_begin={begin}, but max_{unit}={length}: nothing is validated'
        yield Finding(Level.WARNING, 'train_cfg', text)
    if unit == 'iters' and (hooks.get('checkpoint') or {}).get('by_epoch', True):
        text = 'saves after epochs, so what is learned after the last full one is lost; set by_epoch=False'
        text += f' and an interval in iterations, of which there are {length}'
        yield Finding(Level.WARNING, 'default_hooks.checkpoint', text)


def _check_paramwise(wrapper: Mapping[str, Any], network: nn.Module) -> Iterator[Finding]:
    """Rates of parts of the network, which MMEngine leaves as they are where no name of a weight fits."""
    given = wrapper.get('paramwise_cfg') or {}
    if 'constructor' in wrapper:
        return
    where, names = 'optim_wrapper.paramwise_cfg', [name for name, _ in network.named_parameters()]
    for key in given.keys() - set(PARAMWISE):
        yield Finding(Level.WARNING, where, f'nothing reads {key!r}, but {", ".join(PARAMWISE)}')
    for key, options in (given.get('custom_keys') or {}).items():
        if not any(key in name for name in names):
            parts = ', '.join(dict.fromkeys(name.partition('.')[0] for name in names))
            text = f'no weight has {key!r} in its name, so the entry changes nothing; there are {parts}'
            yield Finding(Level.WARNING, f'{where}.custom_keys', text)
        for option in options.keys() - MULTIPLIERS:
            if meant := _closest(option, MULTIPLIERS):
                text = f'nothing reads {option!r}; did you mean {meant!r}?'
                yield Finding(Level.WARNING, f'{where}.custom_keys.{key}', text)


def _check_parts(config: Mapping[str, Any]) -> Iterator[Finding]:
    hooks = [*(config.get('default_hooks') or {}).values(), *(config.get('custom_hooks') or ())]
    for hook in hooks:
        if isinstance(hook, Mapping) and hook.get('enable') and step_name(hook) == 'VisualizationHook':
            text = 'draws videos, not skeletons; ShowValidationHook shows validation clips and their answers'
            yield Finding(Level.ERROR, 'VisualizationHook', text)


def _check_metrics(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Metrics for clips of one class, whose labels are lists: they would end the first validation."""
    for phase in PHASES[1:]:
        if not any(part.get('multi_class') for part in datasets_of(config, f'{phase}_dataloader')):
            continue
        metrics = config.get(f'{phase}_evaluator') or ()
        for name in map(step_name, [metrics] if isinstance(metrics, Mapping) else metrics):
            if name in ONE_LABEL:
                instead = "AccMetric with metric_list=('mean_average_precision',)"
                text = f'{name} expects one label per clip, not multi_class=True; use {instead}'
                yield Finding(Level.ERROR, f'{phase}_evaluator', text)


def _sources(config: Mapping[str, Any], loader: str) -> list[dict[str, Any]]:
    """The annotation file and the split of each data set of a loader."""
    return [{key: part.get(key) for key in ('ann_file', 'split')} for part in datasets_of(config, loader)]


def misspelt_keys(config: Mapping[str, Any]) -> dict[str, str]:
    """Top-level keys that nothing reads although they seem to be meant.

    A config may define names of its own (``train_pipeline``, ``ann_file``), so unlike ones are left alone.
    But ``max_epochs = 5`` over a base whose ``train_cfg.max_epochs`` is 80 changes nothing.

    Returns:
        The key that was probably meant, for each such one.
    """
    known = {*inspect.signature(Runner.__init__).parameters, *OTHER_KEYS} - {'self'}
    read = list(leaves((key, config[key]) for key in config if key in known))
    found = {}
    for key in config:
        if key not in known:
            found[key] = OLD_KEYS.get(key) or _closest(key, known) or _overruled(key, config[key], read)
    return {key: meant for key, meant in found.items() if meant}


def _closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, upper and lower case and hyphens aside."""
    plain = {one.lower().replace('-', '_'): one for one in known}
    found = difflib.get_close_matches(name.lower().replace('-', '_'), plain, n=1, cutoff=LIKENESS)
    return plain[found[0]] if found else None


def _overruled(key: str, value: Any, read: Iterable[tuple[str, Any]]) -> str:
    """Where arguments of this name stand, if none of them has the value; else empty."""
    phase, _, last = key.rpartition('_')
    same = {
        path: found
        for path, found in read
        if path.endswith(f'.{key}') or (path.startswith(f'{phase}_dataloader.') and path.endswith(f'.{last}'))
    }
    # A pipeline may only begin otherwise, with a step that makes the clips.
    size = len(value) if isinstance(value, list) else 0
    is_read = value in same.values() or any(size and found[-size:] == value for found in same.values())
    return '' if is_read else ' or '.join(list(same)[:3])


def leaves(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Some values by their places, and all values in them: ``('model.backbone.type', 'STGCN')``."""
    for path, value in values:
        yield path, value
        if isinstance(value, Mapping):
            yield from leaves((f'{path}.{key}', inner) for key, inner in value.items())
        elif isinstance(value, list | tuple):
            yield from leaves((f'{path}[{i}]', inner) for i, inner in enumerate(value))


def _check_foreign_clips(data: LoaderData) -> Iterator[Finding]:
    """Check the clips of MMAction2's PoseDataset, which takes any, as SkeletonDataset checks its own."""
    for part, expected in zip(data.sets, data.parts, strict=True):
        if isinstance(part, SkeletonDataset) or data.facts is None:
            continue
        clips = _clips(part)
        table, found = clips.table(part.multi_class)
        if not found:
            expected = replace(expected.of_clips, num_classes=None)  # labels are compared below
            found = check_clips(clips, table, expected, training=False)
        yield from located(found, part.ann_file, part.split)


def check_network(network: nn.Module, model: Mapping[str, Any], data: LoaderData) -> Iterator[Finding]:
    """Compare what a loader gives with what the network takes: classes, persons, joints, channels, layout.

    Args:
        network: the built network.
        model: its config.
        data: the loader's.
    """
    if not getattr(network, 'with_cls_head', True):
        yield Finding(Level.ERROR, 'model', 'has no cls_head, which would learn and predict the classes')
    yield from _check_classes(getattr(getattr(network, 'cls_head', None), 'num_classes', None), data)
    yield from _check_shape(getattr(network, 'backbone', None), data)
    yield from _check_layout(model, data)
    if data.name != LOADERS[0] and data.is_random:
        text = 'the pipeline draws at random, so no two runs give the same scores; is test_mode=True missing?'
        yield Finding(Level.WARNING, data.name, text)


def _check_classes(classes: int | None, data: LoaderData) -> Iterator[Finding]:
    if classes is None:
        return
    model = f'model.cls_head.num_classes={classes}'
    labels = data.facts.labels if data.facts else np.empty(0)
    for row in np.flatnonzero((labels < 0) | (labels >= classes))[:1]:
        files = ', '.join(dict.fromkeys(str(part.ann_file) for part in data.sets))
        yield Finding(
            Level.ERROR,
            f'{files}, clip {data.clip_name(row)}, label',
            f'{labels[row]}, expected 0..{classes - 1}, since {model}',
        )
    for part in data.sets:
        named = part.metainfo.get('classes')
        if named and len(named) != classes:
            yield Finding(Level.WARNING, str(part.ann_file), f'names {len(named)} classes, but {model}')


def _check_shape(backbone: nn.Module | None, data: LoaderData) -> Iterator[Finding]:
    x = data.first_input()
    if x is None:
        return
    found = (x.shape[1], x.shape[3], x.shape[4])
    wrong = [
        f'{key}={wanted} in the model, but the pipeline gives {plural(size, noun)}'
        for (key, noun), wanted, size in zip(AXES.items(), input_shape_of(backbone), found, strict=True)
        if wanted not in (None, size)
    ]
    if wrong:
        yield Finding(Level.ERROR, data.name, ', '.join(wrong))
    elif data.facts and data.facts.persons.max() == 1 < x.shape[1]:
        text = 'no clip has a second person, so num_person=1 in pipeline and backbone is enough'
        yield Finding(Level.WARNING, data.name, text)


def _check_layout(model: Mapping[str, Any], data: LoaderData) -> Iterator[Finding]:
    graph = graph_of(model)
    if not isinstance(graph, Mapping) or graph.get('type', 'SkeletonGraph') != 'SkeletonGraph':
        return
    wanted = known_skeleton(graph.get('layout', 'nturgb+d'))
    stored = [known_skeleton(part.metainfo.get('layout')) for part in data.sets]
    for skeleton in filter(None, [data.network_input.skeleton, *stored]):
        if wanted is None or (skeleton.num_joints, skeleton.edges) == (wanted.num_joints, wanted.edges):
            continue
        may_be_meant = isinstance(graph.get('layout'), Mapping) and skeleton.num_joints == wanted.num_joints
        yield Finding(
            Level.WARNING if may_be_meant else Level.ERROR,
            data.name,
            f'its clips have layout {skeleton.name!r} ({skeleton.num_joints} joints), the graph of the model '
            f'has layout {wanted.name!r} ({wanted.num_joints} joints)',
        )


def check_evaluation(train: LoaderData, evaluated: LoaderData) -> Iterator[Finding]:
    """Compare the data that a run is evaluated on with those that it trains on: clips, and units."""
    if train.facts and evaluated.facts and train.source != evaluated.source:
        shared = np.flatnonzero(np.isin(evaluated.facts.keys, train.facts.keys))
        if len(shared):
            names = ', '.join(evaluated.clip_name(int(row)) for row in shared[:SHOWN])
            more = ', ...' if len(shared) > SHOWN else ''
            yield Finding(
                Level.WARNING,
                evaluated.name,
                f'{len(shared):,} of {plural(len(evaluated.facts.keys), "clip")} are also in the training '
                f'set: {names}{more}',
            )
    yield from _check_untrained(train, evaluated)
    yield from _check_scale(train.network_input.scale, evaluated, f'of {train.name}')
    yield from _check_class_order(train.network_input.classes, evaluated, f'of {train.name}')


def _check_untrained(train: LoaderData, evaluated: LoaderData) -> Iterator[Finding]:
    """Classes that are evaluated but not trained, such as of labels that count from 1 in one of two files."""
    if train.facts is None or evaluated.facts is None:
        return
    labels, names = evaluated.facts.labels, dict(enumerate(evaluated.network_input.classes))
    untrained = sorted({*labels.tolist()} - {*train.facts.labels.tolist()})
    if not untrained:
        return
    shown = [f'{label} ({names[label]})' if label in names else str(label) for label in untrained]
    clips = f'{np.isin(labels, untrained).sum():,} of {plural(len(labels), "clip")}'
    text = f'{clips} are of classes without a clip in {train.name}: {and_more(shown, SHOWN)}'
    yield Finding(Level.WARNING, evaluated.name, text)


def _check_class_order(trained: Sequence[str], data: LoaderData, whose: str) -> Iterator[Finding]:
    """Labels are numbers, which two files, converted one by one, may give to other classes."""
    for part in data.parts:
        labels = {name: label for label, name in enumerate(part.classes)}
        moved = [name for label, name in enumerate(trained) if labels.get(name, label) != label]
        if moved:
            name = moved[0]
            text = f'class {name!r} has label {labels[name]}, but {trained.index(name)} in those {whose}'
            advice = 'convert the data with one list of classes (--classes)'
            yield Finding(Level.ERROR, data.name, f'{plural(len(moved), "label")} differ: {text}; {advice}')


def _check_scale(trained: float | None, data: LoaderData, whose: str) -> Iterator[Finding]:
    for part in data.parts:
        if difference := compare_scales(part.scale, trained):
            level, text = difference
            yield Finding(level, data.name, f'compared with those {whose}, {text}')


def check_checkpoint(
    trained: NetworkInput | None, sources: Iterable[Mapping[str, Any]], data: LoaderData
) -> Iterator[Finding]:
    """Compare the data of an evaluation with what a checkpoint was trained on: input, units and clips.

    Args:
        trained: what the checkpoint says of its input; None where it says nothing.
        sources: the clips it was trained on, see :func:`sources_of`.
        data: the loader's.
    """
    if trained is None:
        yield Finding(Level.NOTE, 'checkpoint', 'does not say what it was trained on; nothing is compared')
        return
    for line in trained.differences(data.network_input):
        level = Level.ERROR if line.startswith(('stream:', 'skeleton:')) else Level.WARNING
        yield Finding(level, data.name, f'THE CHECKPOINT WAS TRAINED ON OTHER INPUT: {line}')
    if trained.scale is None and data.network_input.scale is not None:
        text = 'does not say the scale of its training data; whether the units are the same is not checked'
        yield Finding(Level.NOTE, 'checkpoint', text)
    whose = 'that the checkpoint was trained on'
    yield from _check_scale(trained.scale, data, whose)
    yield from _check_class_order(trained.classes, data, whose)
    for source in sources:
        yield from _check_source(source, data)


def sources_of(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The annotation file, if known, and the split of each data set that a checkpoint was trained on.

    Raises:
        SyntaxError: its config can't be read.
    """
    found: list[dict[str, Any]] = []
    if 'trained_on' not in meta:
        return _sources(saved_config(meta), LOADERS[0])
    for trained in meta['trained_on'] or ():
        if not isinstance(trained, Mapping):
            continue
        if isinstance(trained.get('splits'), list):  # of an earlier version
            found += [dict(ann_file=None, split=split) for split in trained['splits']]
        elif 'split' in trained:
            found.append({key: trained.get(key) for key in ('ann_file', 'split')})
    return found


def _check_source(source: Mapping[str, Any], data: LoaderData) -> Iterator[Finding]:
    """Look for training clips in an evaluation; counted where both files are there."""
    for part in data.sets:
        split, trained = str(getattr(part, 'split', None)), str(source['split'])
        protocols = [protocol_and_role(one) for one in (split, trained)]
        if 'None' in (split, trained) or (split != trained and protocols[0][0] == protocols[1][0]):
            continue
        where = f'{data.name} (split {split})'
        shared = _shared_clips(source, part)
        if shared is None:
            text = f'may hold clips that the checkpoint was trained on, in split {trained}'
            yield Finding(Level.WARNING, where, f'THE TEST {text}')
        elif shared:
            text = f'{shared:,} of {plural(len(part), "clip")} were trained on, in split {trained}'
            yield Finding(Level.WARNING, where, text)


def _shared_clips(source: Mapping[str, Any], part: PoseDataset) -> int | None:
    """How many clips of a data set are in a split of a file; None where the file is not there."""
    path = Path(source['ann_file'] or part.ann_file)
    try:
        trained = open_annotations(path).select(str(source['split']))
    except (OSError, ValueError, KeyError):
        return None
    facts = [clips.facts() for clips in (trained, _clips(part))]
    return None if None in facts else int(np.isin(facts[1].keys, facts[0].keys).sum())  # type: ignore[union-attr]


def check_resume(
    meta: Mapping[str, Any], config: Mapping[str, Any], fingerprint: str = ''
) -> Iterator[Finding]:
    """Compare the config of a run that is resumed with the one that its checkpoint was saved under.

    Args:
        meta: the checkpoint's.
        config: the present one.
        fingerprint: of the clips of the training, if they are known.
    """
    saved = {**saved_config({'cfg': meta.get('cfg')}), **saved_config(meta)}
    advice = 'start another run from the weights instead: load_from=CHECKPOINT, without --resume'
    before, now = (plain((one.get('optim_wrapper') or {}).get('optimizer') or {}) for one in (saved, config))
    if before and before.get('type') != now.get('type'):
        text = f"was {before.get('type')}, is {now.get('type')}, which can't use its state; {advice}"
        yield Finding(Level.ERROR, 'optim_wrapper.optimizer.type', text)
    elif before:
        for key in [key for key in {**before, **now} if before.get(key) != now.get(key)]:
            yield _without_effect(f'optim_wrapper.optimizer.{key}', before.get(key), now.get(key), advice)
    schedules = [plain(one.get('param_scheduler') or []) for one in (saved, config)]
    if 'param_scheduler' in saved and schedules[0] != schedules[1]:
        yield _without_effect('param_scheduler', 'another', 'changed', advice)
    yield from _check_resumed_data(saved, config, advice)
    if fingerprint and meta.get('fingerprint', fingerprint) != fingerprint:
        text = 'the annotation file has changed: a run is resumed on the names, labels and lengths of clips'
        yield Finding(Level.ERROR, LOADERS[0], f'{text} that it began with; {advice}')


def _without_effect(key: str, before: Any, now: Any, advice: str) -> Finding:
    text = f'was {before}, is {now}: the change has no effect on a run that is resumed; {advice}'
    return Finding(Level.WARNING, key, text)


def _check_resumed_data(
    saved: Mapping[str, Any], config: Mapping[str, Any], advice: str
) -> Iterator[Finding]:
    clips = [
        [(Path(str(one['ann_file'])).name, one['split']) for one in _sources(config, LOADERS[0])]
        for config in (saved, config)
    ]
    if clips[0] and clips[0] != clips[1]:
        text = f'trained on {clips[0]}, now {clips[1]}; {advice}'
        yield Finding(Level.ERROR, LOADERS[0], f'a run is resumed on the clips that it began with: {text}')
    before, now = (NetworkInput.of_config(one, LOADERS[0]) for one in (saved, config))
    for line in before.differences(now) if clips[0] else ():
        yield Finding(
            Level.ERROR, LOADERS[0], f'a run is resumed on the input that it began with: {line}; {advice}'
        )

"""An entry for every config, as OpenMMLab's tools read it.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from benchmarking.candidates import NUM_COORDINATES, make_network
from benchmarking.counts import count_macs, count_parameters
from mmdualhead.network_input import STREAM_ARGUMENTS, NetworkInput, datasets_of, step_name
from mmdualhead.program import config_files
from mmdualhead.skeletons import get_skeleton

ARCHITECTURES = {
    # first part of a config's name: (network, title of its paper, address)
    'dualhead': (
        'DualHead-Net',
        'Learning Multi-Granular Spatio-Temporal Graph Network for Skeleton-based Action Recognition',
        'https://arxiv.org/abs/2108.04536',
    ),
    'msg3d': (
        'MS-G3D',
        'Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition',
        'https://arxiv.org/abs/2003.14111',
    ),
    'ctrgcn': (
        'CTR-GCN',
        'Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition',
        'https://arxiv.org/abs/2107.12213',
    ),
    'stgcn': (
        'ST-GCN',
        'Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition',
        'https://arxiv.org/abs/1801.07455',
    ),
    'stgcnpp': (
        'ST-GCN++',
        'PYSKL: Towards Good Practices for Skeleton Action Recognition',
        'https://arxiv.org/abs/2205.09443',
    ),
}
DATA = {
    # name of the annotation file: (data set, what follows its protocol)
    'ntu60_3d': ('NTU60', '-3D'),
    'ntu60_2d': ('NTU60', '-2D'),
    'ntu120_3d': ('NTU120', '-3D'),
    'ntu120_2d': ('NTU120', '-2D'),
    'kinetics_skeleton': ('Kinetics-Skeleton', ''),
    'utd_mhad': ('UTD-MHAD', ''),
    'msr_action3d': ('MSR-Action3D', ''),
    'nw_ucla': ('NW-UCLA', ''),
    'synthetic': ('Synthetic', ''),
}
PROTOCOLS = {'xsub': '-XSub', 'xview': '-XView', 'xset': '-XSet'}


def describe_all(
    folder: Path, accuracies: Mapping[str, float], known: Mapping[str, Mapping], recount: bool
) -> list[dict[str, Any]]:
    """An entry for every config. Networks that differ only in the stream are counted once.

    Args:
        folder: of the configs.
        accuracies: top-1 in %, by config.
        known: earlier entries, whose counts and files are kept.
        recount: count again instead of keeping the counts.
    """
    counted: dict[str, dict[str, str]] = {}
    entries = []
    for path in config_files(folder):
        config, earlier = Config.fromfile(path), known.get(path.stem, {})
        key = f'{config.model} {frames_of(config)}'
        if key not in counted:
            old = {} if recount else earlier.get('Metadata', {})
            kept = {what: old[what] for what in ('FLOPs', 'Parameters') if what in old}
            counted[key] = kept if len(kept) == 2 else count(path, config)
        where = (Path('configs') / path.relative_to(folder)).as_posix()
        entry = describe(path.stem, where, config, counted[key], accuracies.get(path.stem))
        entries.append(
            entry | {what: earlier[what] for what in ('Training Log', 'Weights') if what in earlier}
        )
    return entries


def describe(
    name: str, where: str, config: Config, counts: Mapping[str, str], accuracy: float | None
) -> dict[str, Any]:
    """The entry of one config.

    Args:
        name: its name.
        where: its path in the repository.
        config: the config.
        counts: of :func:`count`.
        accuracy: top-1 accuracy in %, if measured.
    """
    dataset, *_ = datasets_of(config, 'train_dataloader')
    data, suffix = DATA[Path(dataset['ann_file']).stem]
    is_seen = NetworkInput.of_config(config, 'train_dataloader').recorded is not None
    suffix = '-2D' if is_seen else suffix  # by virtual cameras
    trained_on = f'{data}{PROTOCOLS.get(dataset["split"].partition("_")[0], "")}{suffix}'
    architecture, *_ = ARCHITECTURES[name.partition('_')[0].replace('quickstart', 'dualhead')]
    entry: dict[str, Any] = {
        'Name': name,
        'Config': where,
        'In Collection': architecture,
        'Metadata': {
            'Architecture': architecture,
            'Batch Size': config.train_dataloader.batch_size,
            'Epochs': config.train_cfg.max_epochs,
            **counts,
            'Training Data': trained_on,
        },
    }
    if accuracy is not None:
        task = 'Skeleton-based Action Recognition'
        entry['Results'] = [{'Dataset': trained_on, 'Task': task, 'Metrics': {'Top 1 Accuracy': accuracy}}]
    return entry


def enter_files(entries: list[dict[str, Any]], names: Iterable[str], url: str) -> None:
    """Enter weights and logs, files of a release, into their configs' entries.

    Args:
        entries: changed in place.
        names: of the files.
        url: their future address, without the names.

    Raises:
        ValueError: a file is not named after a config.
    """
    by_name = {entry['Name']: entry for entry in entries}
    for file in names:
        stem, _, ending = file.rpartition('-')
        if stem not in by_name:
            raise ValueError(f'{file} is not named after a config')
        by_name[stem]['Weights' if ending.endswith('.pth') else 'Training Log'] = f'{url}/{file}'


def frames_of(config: Config) -> int:
    """T of one sample, set by a step of the test pipeline."""
    (frames,) = (step[key] for step in config.test_pipeline for key in ('clip_len', 'length') if key in step)
    return frames


def count(path: Path, config: Config) -> dict[str, str]:
    """``FLOPs``, that is multiply-accumulates, of a config's network for one sample, and ``Parameters``."""
    (step,) = (step for step in config.test_pipeline if step_name(step) in STREAM_ARGUMENTS)
    joints = get_skeleton(step.get('layout', step.get('dataset', 'nturgb+d'))).num_joints
    backbone = config.model.backbone
    persons, channels = backbone.get('num_person', 2), backbone.get('in_channels', NUM_COORDINATES)
    network = make_network(str(path), {}).eval()
    sample = torch.randn(1, persons, frames_of(config), joints, channels)
    with torch.no_grad():
        macs, parameters = count_macs(lambda: network(sample)), count_parameters(network)
    return {'FLOPs': f'{macs / 1e9:.2f}G', 'Parameters': f'{parameters / 1e6:.2f}M'}

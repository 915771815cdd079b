"""The list of all configs that OpenMMLab's tools read: what each network costs and what it has reached here.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import Config

from mmdualhead.apis.benchmark.candidates import NUM_COORDINATES, make_network
from mmdualhead.apis.benchmark.counts import count_macs, count_parameters
from mmdualhead.datasets.pipelines import STREAM_STEPS, step_name
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.files import write_text

HEADER = """\
# Made by tools/metafile.py; do not edit.
# FLOPs are multiply-accumulates of one sample, as MMAction2 counts them; a test may take ten per clip.
"""
ARCHITECTURES = {
    'dualhead': 'DualHead-Net',
    'quickstart': 'DualHead-Net',
    'msg3d': 'MS-G3D',
    'stgcn': 'ST-GCN',
    'stgcnpp': 'ST-GCN++',
}
PAPERS = {
    'DualHead-Net': (
        'Learning Multi-Granular Spatio-Temporal Graph Network for Skeleton-based Action Recognition',
        'https://arxiv.org/abs/2108.04536',
    ),
    'MS-G3D': (
        'Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition',
        'https://arxiv.org/abs/2003.14111',
    ),
    'ST-GCN': (
        'Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition',
        'https://arxiv.org/abs/1801.07455',
    ),
    'ST-GCN++': (
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
STREAMS = {'joint': 'j', 'bone': 'b', 'joint motion': 'jm', 'bone motion': 'bm'}


def write_metafile(configs: Path, results: Path, target: Path) -> int:
    """Count all configs and write the list.

    Args:
        configs: the folder of the configs.
        results: the document that holds the measured accuracies, docs/results.md.
        target: the file to write.

    Returns:
        The number of configs.
    """
    entries = describe_all(configs, read_accuracies(results.read_text(encoding='utf-8')))
    collections = [
        {'Name': name, 'README': 'README.md', 'Paper': {'Title': title, 'URL': url}}
        for name, (title, url) in PAPERS.items()
    ]
    content = {'Collections': collections, 'Models': entries}
    write_text(target, HEADER + yaml.safe_dump(content, sort_keys=False, width=110))
    return len(entries)


def config_files(folder: Path) -> list[Path]:
    """The configs that can be run: all but those that others are built on."""
    return sorted(path for path in folder.rglob('*.py') if '_base_' not in path.parts)


def describe_all(folder: Path, accuracies: Mapping[str, float]) -> list[dict[str, Any]]:
    """An entry for every config. Networks that differ in the stream alone are counted once."""
    counted: dict[str, tuple[int, int]] = {}
    entries = []
    for path in config_files(folder):
        config = Config.fromfile(path)
        frames = frames_of(config)
        key = f'{config.model} {frames}'
        if key not in counted:
            counted[key] = count(path, config, frames)
        where = (Path('configs') / path.relative_to(folder)).as_posix()
        entries.append(describe(path.stem, where, config, counted[key], accuracies.get(path.stem)))
    return entries


def describe(
    name: str, where: str, config: Config, counts: tuple[int, int], accuracy: float | None
) -> dict[str, Any]:
    """The entry of one config.

    Args:
        name: its name.
        where: its path in the repository.
        config: the config.
        counts: parameters, and multiply-accumulates of one sample.
        accuracy: top-1 accuracy in %, where it was measured.
    """
    dataset = config.train_dataloader.dataset
    data, suffix = DATA[Path(dataset.ann_file).stem]
    protocol = PROTOCOLS.get(dataset.split.partition('_')[0], '')
    trained_on = f'{data}{protocol}{suffix}'
    architecture = ARCHITECTURES[name.partition('_')[0]]
    entry: dict[str, Any] = {
        'Name': name,
        'Config': where,
        'In Collection': architecture,
        'Metadata': {
            'Architecture': architecture,
            'Batch Size': config.train_dataloader.batch_size,
            'Epochs': config.train_cfg.max_epochs,
            'FLOPs': f'{counts[1] / 1e9:.2f}G',
            'Parameters': f'{counts[0] / 1e6:.2f}M',
            'Training Data': trained_on,
        },
    }
    if accuracy is not None:
        task = 'Skeleton-based Action Recognition'
        metrics = {'Top 1 Accuracy': accuracy}
        entry['Results'] = [{'Dataset': trained_on, 'Task': task, 'Metrics': metrics}]
    return entry


def frames_of(config: Config) -> int:
    """T of one sample, which a step of the test pipeline says."""
    (frames,) = (step[key] for step in config.test_pipeline for key in ('clip_len', 'length') if key in step)
    return frames


def count(path: Path, config: Config, frames: int) -> tuple[int, int]:
    """Parameters of a config's network, and its multiply-accumulates for one sample of a clip."""
    (step,) = (step for step in config.test_pipeline if step_name(step) in STREAM_STEPS)
    joints = get_skeleton(step.get('layout', step.get('dataset', 'nturgb+d'))).num_joints
    backbone = config.model.backbone
    persons, channels = backbone.get('num_person', 2), backbone.get('in_channels', NUM_COORDINATES)
    network = make_network(str(path), {}).eval()
    sample = torch.randn(1, persons, frames, joints, channels)
    with torch.no_grad():
        return count_parameters(network), count_macs(lambda: network(sample))


def read_accuracies(text: str) -> dict[str, float]:
    """Top-1 accuracies in % by config, out of the table of all networks on UTD-MHAD.

    Raises:
        ValueError: there is no such table.
    """
    prefixes = {name: prefix for prefix, name in ARCHITECTURES.items() if prefix != 'quickstart'}
    table = re.search(r'^(\|[^\n]*parameters M[^\n]*\n)\|[- :|]+\n((?:\|.*\n)+)', text, re.M)
    if table is None:
        raise ValueError('there is no table with a column "parameters M"')
    header = [cell.strip() for cell in table[1].split('|')[1:-1]]
    found = {}
    for line in table[2].splitlines():
        cells = [cell.strip(' *') for cell in line.split('|')[1:-1]]
        prefix = prefixes[cells[0].partition(',')[0]]
        for title, stream in STREAMS.items():
            found[f'{prefix}_utd_mhad_{stream}'] = float(cells[header.index(title)])
    return found

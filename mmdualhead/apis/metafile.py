"""The model zoo: the list of all configs that OpenMMLab's tools read, and the same as a page.

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
from mmdualhead.apis.packing import read_sums
from mmdualhead.datasets.pipelines import STREAM_STEPS, step_name
from mmdualhead.program import config_files
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.files import write_text
from mmdualhead.utils.tables import markdown_table

HEADER = """\
# Made by tools/metafile.py; do not edit.
# FLOPs are multiply-accumulates of one sample, as MMAction2 counts them; a test may take ten per clip.
"""
PAGE = """\
<!-- Made by tools/metafile.py; do not edit. -->
# Model zoo

What `configs/metafile.yml` lists for OpenMMLab's tools, to read. GMACs are 10^9 multiply-accumulates of one
sample; a test may take ten per clip. How the accuracies came about, and the log of each run:
[results](results.md). Weights are in half precision, carry their config, and are used as they are:
`mmdualhead predict RECORDING --model FILE`. Eight digits of a file's SHA-256 stand in its name.

"""
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
STREAMS = {'joint': 'j', 'bone': 'b', 'joint motion': 'jm', 'bone motion': 'bm'}
PACKAGED = 'dualhead_utd_mhad_j'
"""The config whose weights the package carries."""


def write_metafile(root: Path, recount: bool = False, release: Path | None = None, url: str = '') -> int:
    """Write ``configs/metafile.yml`` and ``docs/model_zoo.md``.

    Args:
        root: the folder of the repository. ``docs/results.md`` holds the measured accuracies.
        recount: count all networks, which takes minutes; else only those of configs that are new.
        release: a folder of :func:`~.packing.release`, whose files are entered.
        url: the address that these files will have, without their names.

    Returns:
        The number of configs.
    """
    metafile = root / 'configs' / 'metafile.yml'
    known = yaml.safe_load(metafile.read_text(encoding='utf-8'))['Models'] if metafile.exists() else []
    entries = describe_all(
        root / 'configs',
        read_accuracies((root / 'docs' / 'results.md').read_text(encoding='utf-8')),
        {entry['Name']: entry for entry in known},
        recount,
    )
    if release is not None:
        _enter_files(entries, read_sums(release), url.rstrip('/'))
    collections = [
        {'Name': name, 'README': 'README.md', 'Paper': {'Title': title, 'URL': paper}}
        for name, title, paper in ARCHITECTURES.values()
    ]
    content = {'Collections': collections, 'Models': entries}
    write_text(metafile, HEADER + yaml.safe_dump(content, sort_keys=False, width=110))
    write_text(root / 'docs' / 'model_zoo.md', to_page(entries))
    return len(entries)


def describe_all(
    folder: Path, accuracies: Mapping[str, float], known: Mapping[str, Mapping], recount: bool
) -> list[dict[str, Any]]:
    """An entry for every config. Networks that differ in the stream alone are counted once.

    Args:
        folder: of the configs.
        accuracies: top-1 in %, by config.
        known: earlier entries, whose counts and files are kept.
        recount: don't keep the counts.
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
        accuracy: top-1 accuracy in %, where it was measured.
    """
    dataset = config.train_dataloader.dataset
    data, suffix = DATA[Path(dataset.ann_file).stem]
    trained_on = f'{data}{PROTOCOLS.get(dataset.split.partition("_")[0], "")}{suffix}'
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


def _enter_files(entries: list[dict[str, Any]], names: Mapping[str, str], url: str) -> None:
    """Enter weights and logs into their configs' entries."""
    by_name = {entry['Name']: entry for entry in entries}
    for file in names:
        stem, _, ending = file.rpartition('-')
        if stem not in by_name:
            raise ValueError(f'{file} is not named after a config')
        by_name[stem]['Weights' if ending.endswith('.pth') else 'Training Log'] = f'{url}/{file}'


def frames_of(config: Config) -> int:
    """T of one sample, which a step of the test pipeline says."""
    (frames,) = (step[key] for step in config.test_pipeline for key in ('clip_len', 'length') if key in step)
    return frames


def count(path: Path, config: Config) -> dict[str, str]:
    """``FLOPs``, that is multiply-accumulates, of a config's network for one sample, and ``Parameters``."""
    (step,) = (step for step in config.test_pipeline if step_name(step) in STREAM_STEPS)
    joints = get_skeleton(step.get('layout', step.get('dataset', 'nturgb+d'))).num_joints
    backbone = config.model.backbone
    persons, channels = backbone.get('num_person', 2), backbone.get('in_channels', NUM_COORDINATES)
    network = make_network(str(path), {}).eval()
    sample = torch.randn(1, persons, frames_of(config), joints, channels)
    with torch.no_grad():
        macs, parameters = count_macs(lambda: network(sample)), count_parameters(network)
    return {'FLOPs': f'{macs / 1e9:.2f}G', 'Parameters': f'{parameters / 1e6:.2f}M'}


def read_accuracies(text: str) -> dict[str, float]:
    """Top-1 accuracies in % by config, out of the tables of all networks in docs/results.md.

    These stand under headings that begin with the name of a data set. Their columns are called after the
    streams, their rows after the networks; of ``93.49 ± 0.20`` the mean is taken.

    Raises:
        ValueError: the table does not exist.
    """
    prefixes = {network: prefix for prefix, (network, *_) in ARCHITECTURES.items()}
    found: dict[str, float] = {}
    for data, (title, _) in DATA.items():
        section = re.search(rf'^## {re.escape(title)}\b.*?(?=^## |\Z)', text, re.M | re.S)
        table = section and re.search(r'^(\|.*\| *joint *\|.*\n)\|[- :|]+\n((?:\|.*\n)+)', section[0], re.M)
        if not table:
            continue
        header = _cells(table[1])
        for row in map(_cells, table[2].splitlines()):
            prefix = prefixes.get(row[0].partition(',')[0])
            for column, stream in STREAMS.items():
                number = re.match(r'\d+\.\d+', row[header.index(column)]) if column in header else None
                if prefix and number:
                    found[f'{prefix}_{data}_{stream}'] = float(number[0])
    if not found:
        raise ValueError('there is no table whose columns are called joint, bone and so on')
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip(' *') for cell in line.strip().split('|')[1:-1]]


def to_page(entries: list[dict[str, Any]]) -> str:
    """docs/model_zoo.md: configs with results, one by one, then all of them, streams together."""
    measured = [entry for entry in entries if 'Results' in entry]
    sections = []
    for data in dict.fromkeys(entry['Metadata']['Training Data'] for entry in measured):
        rows = [_row(entry) for entry in measured if entry['Metadata']['Training Data'] == data]
        header = ['config', 'parameters', 'GMACs', 'top-1 %', 'weights', 'log']
        sections.append(f'## {data}\n\n{markdown_table(header, rows, cell=str)}\n')
    groups: dict[tuple, list[str]] = {}
    for entry in entries:
        path, meta = entry['Config'].removeprefix('configs/').removesuffix('.py'), entry['Metadata']
        stem, _, stream = path.rpartition('_')
        if stream not in STREAMS.values():
            stem, stream = path, ''
        key = (stem, meta['Training Data'], meta['Parameters'], meta['FLOPs'], meta['Epochs'])
        groups.setdefault(key, []).append(stream)
    rows = []
    for (stem, *rest), streams in groups.items():
        joined = f'{{{",".join(streams)}}}' if len(streams) > 1 else streams[0]
        rows.append([f'`{"_".join(filter(None, (stem, joined)))}`', *rest])
    table = markdown_table(['config', 'data', 'parameters', 'MACs', 'epochs'], rows, cell=str)
    sections.append(f'## All configs\n\n{table}\n')
    return PAGE + '\n'.join(sections)


def _row(entry: Mapping[str, Any]) -> list[str]:
    name, meta = entry['Name'], entry['Metadata']
    weights, log = entry.get('Weights'), entry.get('Training Log', 'results.md')
    elsewhere = 'in the package' if name == PACKAGED else '-'
    cell = f'[{Path(weights).name}]({weights})' if weights else elsewhere
    accuracy = entry['Results'][0]['Metrics']['Top 1 Accuracy']
    return [f'`{name}`', meta['Parameters'], meta['FLOPs'][:-1], f'{accuracy:.2f}', cell, f'[log]({log})']

"""The list and the page of the model zoo, made from the entries of its configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmdualhead.utils.tables import markdown_table

from .entries import ARCHITECTURES
from .results import STREAMS

HEADER = """\
# Made by tools/metafile.py; do not edit.
# FLOPs are multiply-accumulates of one sample, as MMAction2 counts them; a test may take ten per clip.
"""
PAGE = """\
<!-- Made by tools/metafile.py; do not edit. -->
# Model zoo

A readable version of `configs/metafile.yml`, which OpenMMLab's tools read. GMACs are 10^9
multiply-accumulates of one sample; a test may take ten per clip. How the accuracies were measured, and the
log of each run:
[results](results.md). Weights are in half precision, contain their config, and are used as they are:
`mmdualhead predict RECORDING --model FILE`. File names contain eight digits of the file's SHA-256.

"""
PACKAGED = 'dualhead_utd_mhad_j'
"""The config whose weights are in the package."""


def metafile(entries: Sequence[Mapping[str, Any]]) -> str:
    """configs/metafile.yml."""
    collections = [
        {'Name': name, 'README': 'README.md', 'Paper': {'Title': title, 'URL': paper}}
        for name, title, paper in ARCHITECTURES.values()
    ]
    content = {'Collections': collections, 'Models': list(entries)}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=110)


def zoo_page(entries: list[dict[str, Any]]) -> str:
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
        if stream not in STREAMS:
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

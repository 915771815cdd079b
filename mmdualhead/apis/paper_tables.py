"""The tables of the paper as rows of experiments.

An experiment is a config of a benchmark, changed or not by a file of ``configs/ablations``; a row is one
experiment in one stream, or several streams fused with equal weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

EMBEDDED = 'quickstart'
ABLATED_ON = 'ntu60_xsub'


@dataclass(frozen=True)
class Experiment:
    """One training.

    Args:
        model: first part of the config's name, such as ``dualhead``.
        stream: j, b, jm or bm.
        change: the last part of an ablation's file name; empty for the model of the paper.
    """

    model: str
    stream: str = 'j'
    change: str = ''

    def name(self, benchmark: str) -> str:
        """What its work dir is called."""
        stem = self.config(benchmark).removesuffix('.py')
        return f'{stem}_{self.change}' if self.change else stem

    def config(self, benchmark: str) -> str:
        """The file in ``configs/``; the embedded data's are called ``quickstart_j.py`` and so on."""
        if benchmark == EMBEDDED and self.model == 'dualhead':
            return f'{EMBEDDED}_{self.stream}.py'
        return f'{self.model}_{benchmark}_{self.stream}.py'

    @property
    def ablation(self) -> str | None:
        """The file in ``configs/`` that holds the change."""
        if not self.change:
            return None
        return f'ablations/{self.model}_{ABLATED_ON}_{self.stream}_{self.change}.py'

    def load(self, benchmark: str, configs: Path) -> Config:
        """The config on a benchmark: the ablation's file with that benchmark's config as its base."""
        base = configs / self.config(benchmark)
        if self.ablation is None:
            return Config.fromfile(base)
        text = (configs / self.ablation).read_text(encoding='utf-8')
        return Config.fromstring(re.sub('^_base_ = .*', f'_base_ = {str(base.resolve())!r}', text), '.py')


@dataclass(frozen=True)
class TableRow:
    """One line of a table.

    Args:
        label: its first cell.
        experiments: one, or the streams to fuse.
        paper: top-1 accuracy in the paper, in %, by benchmark.
    """

    label: str
    experiments: tuple[Experiment, ...]
    paper: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Args:
        title: what it compares.
        rows: its lines.
        paper_on: the benchmark of the paper's figures, where the table has only one.
    """

    title: str
    rows: tuple[TableRow, ...]
    paper_on: str | None = None


def get_table(key: str) -> Table:
    """Look a table up by its number in the paper or by its name.

    Raises:
        ValueError: the table does not exist.
    """
    name = NUMBERS.get(key, key)
    if name not in TABLES:
        known = ', '.join(f'{number} ({name})' for number, name in NUMBERS.items())
        raise ValueError(f'no table {key!r}; known: {known}')
    return TABLES[name]


def missing_configs(row: TableRow, benchmark: str, configs: Path) -> list[str]:
    """The configs a row needs that are not in the folder."""
    names = [name for one in row.experiments for name in (one.config(benchmark), one.ablation)]
    return [name for name in names if name is not None and not (configs / name).is_file()]


def _stream_rows(model: str, title: str, paper: Mapping[str, Mapping[str, float]]) -> tuple[TableRow, ...]:
    """Four streams and the paper's two fusions of one model; ``paper`` by label, then benchmark."""
    streams = {'Js': 'j', 'Bs': 'b', 'JMs': 'jm', 'BMs': 'bm', '2s': 'j b', '4s': 'j b jm bm'}
    return tuple(
        TableRow(
            f'{label} {title}',
            tuple(Experiment(model, stream) for stream in names.split()),
            paper.get(label, {}),
        )
        for label, names in streams.items()
    )


def _ablation(label: str, paper: float, change: str = '') -> TableRow:
    """The joint stream of DualHead-Net with parts of its model changed."""
    return TableRow(label, (Experiment('dualhead', 'j', change),), {ABLATED_ON: paper})


_BENCHMARKS = ('ntu60_xsub', 'ntu60_xview', 'ntu120_xsub', 'ntu120_xset', 'kinetics')


def _on_all(*figures: float) -> dict[str, float]:
    return dict(zip(_BENCHMARKS, figures, strict=True))


_BASELINE = TableRow('MS-G3D', (Experiment('msg3d'),), {ABLATED_ON: 89.4})
_FULL = 90.3

TABLES = {
    'streams': Table(
        'streams and fusions against the baselines',
        (
            *_stream_rows('stgcn', 'ST-GCN', {'Js': _on_all(81.5, 88.3, 70.7, 73.2, 30.7)}),
            *_stream_rows('stgcnpp', 'ST-GCN++', {}),
            *_stream_rows(
                'msg3d', 'MS-G3D', {'Js': {ABLATED_ON: 89.4}, '2s': _on_all(91.5, 96.2, 86.9, 88.4, 38.0)}
            ),
            *_stream_rows(
                'dualhead',
                'DualHead-Net',
                {
                    'Js': _on_all(90.3, 96.1, 84.6, 85.9, 36.6),
                    'Bs': _on_all(90.7, 95.5, 86.7, 87.9, 35.7),
                    '2s': _on_all(91.7, 96.5, 87.9, 89.1, 38.3),
                    '4s': _on_all(92.0, 96.6, 88.2, 89.3, 38.4),
                },
            ),
        ),
    ),
    'incremental': Table(
        'dual head and attentions, one after another',
        (
            _BASELINE,
            _ablation('dual head', 89.9, 'no-attention'),
            _ablation('+ temporal attention', 90.2, 'temporal-only'),
            _ablation('+ spatial attention (DualHead-Net)', _FULL),
        ),
        ABLATED_ON,
    ),
    'fine-channels': Table(
        'channel reduction of the fine head',
        (
            _BASELINE,
            _ablation('no reduction', 90.5, 'fine-full'),
            _ablation('channels to 1/2 (DualHead-Net)', _FULL),
            _ablation('channels to 1/4', 89.7, 'fine-quarter'),
        ),
        ABLATED_ON,
    ),
    'coarse-g3d': Table(
        'G3D pathways of the coarse head',
        (
            _ablation('without G3D', 90.0, 'coarse-no-g3d'),
            _ablation('one G3D (DualHead-Net)', _FULL),
            _ablation('two G3D', 90.0, 'coarse-two-g3d'),
        ),
        ABLATED_ON,
    ),
    'subsampling': Table(
        'temporal subsampling of the coarse head',
        (
            _ablation('all frames', 89.8, 'subsample-1'),
            _ablation('1/2 of the frames (DualHead-Net)', _FULL),
            _ablation('1/4 of the frames', 90.1, 'subsample-4'),
        ),
        ABLATED_ON,
    ),
    'attention': Table(
        'cross-head against self-learned attention',
        (
            _ablation('cross-head, both (DualHead-Net)', _FULL),
            _ablation('temporal self-learned', 90.0, 'self-temporal'),
            _ablation('spatial self-learned', 90.1, 'self-spatial'),
        ),
        ABLATED_ON,
    ),
}

NUMBERS = {
    '1': 'streams',
    '2': 'streams',
    '3': 'streams',
    '4': 'incremental',
    '5': 'fine-channels',
    '6': 'coarse-g3d',
    '7': 'subsampling',
    '8': 'attention',
}

"""The tables of the paper: which trainings make a row, and the published figures.

A training is a config of a benchmark, changed or not by a leaf of ``configs/ablations``, which says what is
changed. A row is one training of one stream, or several streams fused with equal weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

EMBEDDED = 'quickstart'
ABLATED_ON = 'ntu60_xsub'


class Experiment(NamedTuple):
    """One training.

    Args:
        config: its config.
        ablation: the leaf that changes it; None for the model of the paper.
    """

    config: Path
    ablation: Path | None = None

    @property
    def name(self) -> str:
        """What its work dir is called."""
        change = self.ablation.stem.rpartition('_')[2] if self.ablation else ''
        return '_'.join(filter(None, (self.config.stem, change)))

    def missing(self, configs: Path) -> list[str]:
        """The files it needs that are not in the folder of the configs."""
        return [str(path.relative_to(configs)) for path in self if path and not path.is_file()]

    def load(self) -> Config:
        """The config, or the ablation's leaf over this config instead of its own base."""
        if self.ablation is None:
            return Config.fromfile(self.config)
        text = self.ablation.read_text(encoding='utf-8')
        base = f'_base_ = {str(self.config.resolve())!r}'
        return Config.fromstring(re.sub('^_base_ = .*', lambda _: base, text), '.py')


class Row(NamedTuple):
    """One line of a table.

    Args:
        label: its first cell.
        paper: top-1 accuracy in the paper, in %, by benchmark.
        model: first part of its configs' names.
        streams: j, b, jm or bm; several are fused.
        change: last part of the name of an ablation's leaf; empty for the model of the paper.
    """

    label: str
    paper: Mapping[str, float]
    model: str = 'dualhead'
    streams: tuple[str, ...] = ('j',)
    change: str = ''

    def experiments(self, benchmark: str, configs: Path) -> list[Experiment]:
        """Its trainings on a benchmark; the embedded data's configs are called ``quickstart_j.py`` and so on.

        Args:
            benchmark: such as ``ntu60_xsub``.
            configs: the folder of the configs.
        """
        embedded = benchmark == EMBEDDED and self.model == 'dualhead'
        prefix = EMBEDDED if embedded else f'{self.model}_{benchmark}'
        leaf = f'ablations/{self.model}_{ABLATED_ON}_{{}}_{self.change}.py'
        return [
            Experiment(
                configs / f'{prefix}_{stream}.py', configs / leaf.format(stream) if self.change else None
            )
            for stream in self.streams
        ]


class Table(NamedTuple):
    """A table of the paper.

    Args:
        title: what it compares.
        rows: its lines.
        paper_on: the benchmark of the paper's figures, where the table has only one.
    """

    title: str
    rows: tuple[Row, ...]
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


def _stream_rows(model: str, title: str, paper: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Four streams and the paper's two fusions of one model; its figures by label."""
    streams = {'Js': 'j', 'Bs': 'b', 'JMs': 'jm', 'BMs': 'bm', '2s': 'j b', '4s': 'j b jm bm'}
    return [
        Row(f'{label} {title}', paper.get(label, {}), model, tuple(names.split()))
        for label, names in streams.items()
    ]


def _on_ntu(title: str, *rows: Row) -> Table:
    return Table(title, rows, ABLATED_ON)


def _ablation(label: str, paper: float, change: str = '') -> Row:
    """The joint stream of DualHead-Net with parts of its model changed."""
    return Row(label, {ABLATED_ON: paper}, change=change)


def _on_all(*figures: float) -> dict[str, float]:
    benchmarks = ('ntu60_xsub', 'ntu60_xview', 'ntu120_xsub', 'ntu120_xset', 'kinetics')
    return dict(zip(benchmarks, figures, strict=True))


_BASELINE = Row('MS-G3D', {ABLATED_ON: 89.4}, 'msg3d')
_FULL = 90.3

TABLES = {
    'streams': Table(
        'streams and fusions against the baselines',
        (
            *_stream_rows('stgcn', 'ST-GCN', {'Js': _on_all(81.5, 88.3, 70.7, 73.2, 30.7)}),
            *_stream_rows('stgcnpp', 'ST-GCN++', {}),
            *_stream_rows('ctrgcn', 'CTR-GCN', {}),
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
    'incremental': _on_ntu(
        'dual head and attentions, one after another',
        _BASELINE,
        _ablation('dual head', 89.9, 'no-attention'),
        _ablation('+ temporal attention', 90.2, 'temporal-only'),
        _ablation('+ spatial attention (DualHead-Net)', _FULL),
    ),
    'fine-channels': _on_ntu(
        'channel reduction of the fine head',
        _BASELINE,
        _ablation('no reduction', 90.5, 'fine-full'),
        _ablation('channels to 1/2 (DualHead-Net)', _FULL),
        _ablation('channels to 1/4', 89.7, 'fine-quarter'),
    ),
    'coarse-g3d': _on_ntu(
        'G3D pathways of the coarse head',
        _ablation('without G3D', 90.0, 'coarse-no-g3d'),
        _ablation('one G3D (DualHead-Net)', _FULL),
        _ablation('two G3D', 90.0, 'coarse-two-g3d'),
    ),
    'subsampling': _on_ntu(
        'temporal subsampling of the coarse head',
        _ablation('all frames', 89.8, 'subsample-1'),
        _ablation('1/2 of the frames (DualHead-Net)', _FULL),
        _ablation('1/4 of the frames', 90.1, 'subsample-4'),
    ),
    'attention': _on_ntu(
        'cross-head against self-learned attention',
        _ablation('cross-head, both (DualHead-Net)', _FULL),
        _ablation('temporal self-learned', 90.0, 'self-temporal'),
        _ablation('spatial self-learned', 90.1, 'self-spatial'),
    ),
}

NUMBERS = dict(zip('12345678', ('streams', 'streams', *TABLES), strict=True))
"""Names by number; the first three tables compare streams."""

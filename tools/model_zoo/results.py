"""The tables of measured results, made from ``configs/results.yml``, which documents its fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from mmdualhead.utils.tables import markdown_table
from reproduction.runs import mean_and_deviation

Clips = Mapping[str, Any]
"""The results on a set of clips, by network."""

SEED, *_ = SEEDS = (0, 1, 2)
"""The default seed of all figures, and all seeds."""
STREAMS = {'j': 'joint', 'b': 'bone', 'jm': 'joint motion', 'bm': 'bone motion'}
FUSIONS = {'2s': 'joint + bone', '4s': 'four streams'}
WEIGHTED = {'4s 2:2:1:1': '2 : 2 : 1 : 1'}
NETWORKS = {
    'dualhead': 'DualHead-Net',
    'msg3d': 'MS-G3D (this package)',
    'ctrgcn': 'CTR-GCN (this package)',
    'stgcn': 'ST-GCN (MMAction2)',
    'stgcnpp': 'ST-GCN++ (MMAction2)',
}
HEADS = {'coarse': 'coarse head', 'fine': 'fine head', 'either': 'either head correct'}
EPOCHS = ('20', '30', '40')
REGION = re.compile(r'(<!-- results: (.+?) -->\n\n).*?(\n\n<!-- end of results -->)', re.DOTALL)

table = partial(markdown_table, cell=str)


class Column(NamedTuple):
    """A column of DualHead-Net's figures."""

    title: str
    clips: Clips
    field: str


def reached(clips: Clips, network: str, what: str, field: str = 'top1', seed: int = SEED) -> Any:
    """A figure of a stream or fusion; None if it is missing."""
    return clips[network]['seeds'][seed].get(what, {}).get(field)


def zoo_accuracies(results: Mapping[str, Any]) -> dict[str, float]:
    """Top-1 accuracies in %, by config."""
    return {
        f'{network}_{data}_{stream}': top1
        for data, clips in results['runs'].items()
        for network in clips
        for stream in STREAMS
        if (top1 := reached(clips, network, stream)) is not None
    }


def fill_tables(page: str, tables: Mapping[str, str]) -> str:
    """A page with what is between ``<!-- results: NAME -->`` and ``<!-- end of results -->`` replaced.

    Raises:
        KeyError: there is no table of a name.
    """
    return REGION.sub(lambda region: f'{region[1]}{tables[region[2]]}{region[3]}', page)


def make_tables(results: Mapping[str, Any]) -> dict[str, str]:
    """All tables, by the names that the pages give them."""
    utd, ucla = results['runs']['utd_mhad'], results['runs']['nw_ucla']
    distinct = results['without_duplicates']['nw_ucla']
    usual, every = STREAMS | FUSIONS, STREAMS | FUSIONS | WEIGHTED
    of_utd = [
        Column(title, utd, field) for field, title in {'top1': 'top-1', 'top5': 'top-5', **HEADS}.items()
    ]
    of_ucla = [
        Column(title, clips, field)
        for name, clips in (('all clips', ucla), ('without duplicates', distinct))
        for field, title in {'top1': f'{name}: fused', **HEADS}.items()
    ]
    utd_seeds = {
        title: [reached(utd, 'dualhead', what, seed=seed) for seed in SEEDS] for what, title in every.items()
    }
    ucla_seeds = [
        (title, [reached(clips, 'dualhead', 'j', field, seed) for seed in SEEDS])
        for title, clips, field in of_ucla
    ]
    first, *others = network_rows(utd, usual, digits=1)
    means = [mean_and_deviation(utd_seeds[title], 1) for title in usual.values()]
    same = ['the same, three seeds', first[1], *means]
    return {
        'utd_mhad streams': streams_table(of_utd),
        'utd_mhad networks': networks_table(every.values(), network_rows(utd, every)),
        'utd_mhad networks, short': networks_table(usual.values(), [first, same, *others]),
        'utd_mhad seeds': seeds_table([*utd_seeds.items()], digits=2),
        'utd_mhad runs': runs_table('utd_mhad', utd),
        'nw_ucla streams': streams_table(of_ucla),
        'nw_ucla networks': networks_table(usual.values(), network_rows(ucla, usual, distinct)),
        'nw_ucla networks, short': networks_table(usual.values(), network_rows(ucla, usual, distinct, 1)),
        'nw_ucla seeds': seeds_table(ucla_seeds, digits=1),
        **{name: table(header, rows) for name, (header, *rows) in results['tables'].items()},
    }


def streams_table(columns: Sequence[Column]) -> str:
    """DualHead-Net's streams and fusions."""
    parameters = columns[0].clips['dualhead']['parameters']
    header = [f'DualHead-Net ({parameters} M parameters)', *(column.title for column in columns)]
    labels = STREAMS | FUSIONS | {what: f'four streams, {weights}' for what, weights in WEIGHTED.items()}
    rows = [
        [label, *(figure(reached(clips, 'dualhead', what, field)) for _, clips, field in columns)]
        for what, label in labels.items()
    ]
    return table(header, rows)


def networks_table(titles: Iterable[str], rows: Sequence[Sequence[object]]) -> str:
    """Top-1 of all networks."""
    return table(['top-1 %', 'parameters M', *titles], rows)


def network_rows(
    clips: Clips, what: Mapping[str, str], distinct: Clips | None = None, digits: int = 2
) -> list[list[object]]:
    """One row per network.

    Args:
        clips: their results on all clips.
        what: streams and fusions.
        distinct: without duplicates, which is added in parentheses.
        digits: after the decimal point.
    """

    def cell(network: str, one: str) -> str:
        value = reached(clips, network, one)
        text = figure(value, digits)
        if value is None or distinct is None:
            return text
        return f'{text} ({figure(reached(distinct, network, one), digits)})'

    return [
        [NETWORKS[network], found['parameters'], *(cell(network, one) for one in what)]
        for network, found in clips.items()
    ]


def seeds_table(columns: Sequence[tuple[str, Sequence[float]]], digits: int) -> str:
    """Figures by seed, then their mean ± deviation with this number of digits."""
    titles, figures = zip(*columns, strict=True)
    rows = [[seed, *map(figure, row)] for seed, row in zip(SEEDS, zip(*figures, strict=True), strict=True)]
    last = ['mean ± deviation', *(mean_and_deviation(column, digits) for column in figures)]
    return table(['seed', *titles], [*rows, last])


def runs_table(data: str, clips: Clips) -> str:
    """Loss, accuracy and time of the runs."""
    titles = ['training loss at epoch 10', *EPOCHS, 'one clip per test: 10', *EPOCHS]
    rows = [
        [
            f'{network}_{data}_{stream}',
            *(f'{loss:.2f}' for loss in run['loss']),
            *run['one_clip'],
            run['minutes'],
        ]
        for network in clips
        for stream, run in clips[network]['seeds'][SEED].items()
        if stream in STREAMS
    ]
    return table(['run', *titles, 'minutes'], rows)


def figure(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash for none."""
    return '-' if value is None else f'{value:.{digits}f}'

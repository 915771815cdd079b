"""Fusion from files to report, as ``tools/ensemble.py`` runs it.

S streams, N clips.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mmdualhead.errors import UserError
from mmdualhead.utils.tables import escape_markdown, markdown_table, percent, text_table
from mmdualhead.utils.text import clips_named

from .accuracy import accuracies, true_class_ranks
from .fusion import fuse, join, parse_weights, to_probabilities
from .readers import LabeledClips, read_scores
from .scores import LabeledScores
from .weight_search import hold_out, search_weights

HEADER = ('streams', 'weights', 'top-1 %', 'top-5 %', 'mean class %')


def ensemble(
    files: Sequence[str],
    weights: Sequence[str] = ('equal',),
    clips: LabeledClips | None = None,
    search: str | None = None,
    seed: int = 0,
) -> tuple[FusionReport, LabeledScores]:
    """Fuse dumped streams.

    Args:
        files: dumps or work dirs, one per stream (:func:`~.readers.read_scores`).
        weights: as for :func:`~.fusion.parse_weights`; not used with ``search``.
        clips: names and labels for dumps that lack them.
        search: search the weights on this part of the clips (:func:`~.weight_search.hold_out`), and report on
            the others.
        seed: selects the part if ``search`` is a fraction.

    Returns:
        The report, and the fused scores of the clips reported on.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is given twice or cannot be read as scores, or the streams do not match.
    """
    numbers = parse_weights(weights, len(files))
    read, scales = zip(*(to_probabilities(read_scores(file, clips)) for file in files), strict=True)
    sources = [os.path.realpath(stream.source) for stream in read]
    if doubled := sorted({source for source in sources if sources.count(source) > 1}):
        raise UserError(f'named more than once: {", ".join(doubled)}')
    streams = join(read)
    held_names: tuple[str, ...] = ()
    if search is not None:
        held, rest = hold_out(streams[0], search, seed)
        numbers = search_weights([stream.select(held) for stream in streams])
        held_names = streams[0].select(held).names
        streams = [stream.select(rest) for stream in streams]
    report = FusionReport(
        files=tuple(files),
        streams=tuple(streams),
        scales=scales,
        fusions=tuple(evaluate_fusions(streams, numbers)),
        held_out=held_names,
    )
    return report, fuse(streams, numbers)


@dataclass(frozen=True)
class Fusion:
    """The accuracy of one combination of streams.

    Args:
        streams: the positions of its streams.
        weights: one per stream.
        metrics: ``top1``, ``top5``, ``mean_class`` as fractions.
    """

    streams: tuple[int, ...]
    weights: tuple[float, ...]
    metrics: dict[str, float]


def evaluate_fusions(streams: Sequence[LabeledScores], weights: Sequence[float]) -> list[Fusion]:
    """Each stream alone, every pair, and all of them, with the streams' weights.

    Pairs whose weights are both 0 are skipped.
    """
    count = len(streams)
    sets = [members for size in (1, 2, count) for members in combinations(range(count), size)]
    fusions = []
    for members in dict.fromkeys(sets):
        chosen = tuple(weights[i] for i in members) if len(members) > 1 else (1.0,)
        if not any(chosen):
            continue
        fused = fuse([streams[i] for i in members], chosen)
        ranks = true_class_ranks(fused.fused, fused.labels)
        fusions.append(Fusion(members, chosen, accuracies(ranks, fused.labels)))
    return fusions


@dataclass(frozen=True, kw_only=True)
class FusionReport:
    """All figures of one fusion.

    Args:
        files: the S dumps as the user named them.
        streams: the scores read from them.
        scales: how each was converted to probabilities (:func:`~.fusion.to_probabilities`).
        fusions: streams alone, pairs, all (:func:`evaluate_fusions`).
        held_out: the clips of the weight search, which all figures exclude; empty without a search.
    """

    files: tuple[str, ...]
    streams: tuple[LabeledScores, ...]
    scales: tuple[str, ...]
    fusions: tuple[Fusion, ...]
    held_out: tuple[str, ...] = ()

    @property
    def fused(self) -> Fusion:
        """All streams together."""
        return self.fusions[-1]

    @property
    def remarks(self) -> list[str]:
        """Sentences under the table."""
        clips = len(self.streams[0].names)
        remarks = [f'{clips} clips, joined by name; weighted mean of class probabilities.']
        for name, scale in zip(shorten_paths(self.files), self.scales, strict=True):
            if scale != 'as they are':
                remarks.append(f'{name}: scores were not probabilities; {scale} applied.')
        if self.held_out:
            remarks.append(
                f'Weights were searched on {clips_named(self.held_out)}. '
                f'All figures are for the other {clips} clips.'
            )
        return remarks

    def to_text(self) -> str:
        """A table and remarks for a terminal."""
        return '\n'.join([text_table(HEADER, self._rows()), '', *self.remarks])

    def to_markdown(self) -> str:
        """A Markdown table and remarks."""
        remarks = map(escape_markdown, self.remarks)
        return '\n'.join([markdown_table(HEADER, self._rows()), '', *remarks, ''])

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``fused``, ``streams`` (one per file, in order), ``pairs``, ``clips``, ``held_out``."""
        return {
            'fused': self._entry(self.fused),
            'streams': [
                {'file': file, 'source': stream.source, 'scores': scale, **fusion.metrics}
                for file, stream, scale, fusion in zip(
                    self.files, self.streams, self.scales, self.fusions, strict=False
                )
            ],
            'pairs': [self._entry(fusion) for fusion in self.fusions if len(fusion.streams) == 2],
            'clips': len(self.streams[0].names),
            'held_out': list(self.held_out),
        }

    def _entry(self, fusion: Fusion) -> dict[str, Any]:
        files = [self.files[i] for i in fusion.streams]
        return {'files': files, 'weights': list(fusion.weights), **fusion.metrics}

    def _rows(self) -> list[tuple[str, ...]]:
        names = shorten_paths(self.files)
        return [
            (
                ' + '.join(names[i] for i in fusion.streams),
                ' : '.join(f'{weight:g}' for weight in fusion.weights),
                *(percent(fusion.metrics[key]) for key in ('top1', 'top5', 'mean_class')),
            )
            for fusion in self.fusions
        ]


def shorten_paths(paths: Sequence[str]) -> list[str]:
    """The distinguishing part of paths, without common folders and file name.

    ``work_dirs/model_j/scores.npz`` and ``work_dirs/model_b/scores.npz`` become ``model_j`` and ``model_b``.
    """
    parts = [Path(path).parts for path in paths]
    if len(set(parts)) < 2 or len(set(parts)) < len(parts):
        return [str(path) for path in paths]
    while min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return [Path(*part).as_posix() for part in parts]

"""Fusion from files to report, as ``tools/ensemble.py`` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .fusion import evaluate_fusions, fuse, join, parse_weights, to_probabilities
from .fusion_report import FusionReport
from .readers import Clips, read_scores
from .scores import LabeledScores
from .weight_search import hold_out, hold_out_names, search_weights


def ensemble(
    files: Sequence[str],
    weights: Sequence[str] = ('equal',),
    clips: Clips | None = None,
    search: str | None = None,
    seed: int = 0,
) -> tuple[FusionReport, LabeledScores]:
    """Fuse dumped streams.

    Args:
        files: dumps or work dirs, one per stream (:func:`~.readers.read_scores`).
        weights: as :func:`~.fusion.parse_weights` takes them; not used with ``search``.
        clips: names and labels for dumps that lack them.
        search: search the weights on this part of the clips, and report on the others: a fraction, or a text
            file of clip names, one per line.
        seed: which fraction.

    Returns:
        The report, and the fused scores of the clips reported on.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is named twice, can't be read as scores, or the streams don't fit together.
    """
    doubled = sorted({file for file in files if list(files).count(file) > 1})
    if doubled:
        raise ValueError(f'named more than once: {", ".join(doubled)}')
    numbers = parse_weights(weights, len(files))
    read, scales = zip(*(to_probabilities(read_scores(file, clips)) for file in files), strict=True)
    streams = join(read)
    held_names: tuple[str, ...] = ()
    if search is not None:
        held, rest = _hold_out(streams[0], search, seed)
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


def _hold_out(scores: LabeledScores, search: str, seed: int) -> tuple:
    try:
        fraction = float(search)
    except ValueError:
        names = Path(search).read_text(encoding='utf-8').split('\n')
        return hold_out_names(scores, [name.strip() for name in names if name.strip()])
    return hold_out(scores, fraction, seed)

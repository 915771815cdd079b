"""The figures of a run, read from its work dir."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from mmdualhead.errors import UserError
from mmdualhead.evaluation.accuracy import accuracies, ranks_by_head
from mmdualhead.evaluation.readers import read_scores
from mmdualhead.evaluation.scores import FUSED, LabeledClips, LabeledScores

TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.MULTILINE)
QUARTERS = (1, 2, 3, 4)


def read_run(work_dir: Path, clips: LabeledClips | None = None) -> dict[str, Any]:
    """The figures of a run, the newest in its work dir, by the names that ``configs/results.yml`` explains.

    Args:
        work_dir: of the training and, unless it is still running, its test.
        clips: the test clips that count (:func:`~mmdualhead.evaluation.readers.chosen_clips`).

    Returns:
        If it was tested, ``top1``, ``top5`` and, of a network with two heads, ``coarse``, ``fine`` and
        ``either``, in %; ``loss`` and ``one_clip`` after each quarter of the epochs; ``minutes``; ``last``
        and ``best``: (epoch, top-1 with one clip per test).

    Raises:
        UserError: the work dir has no training log, a damaged one, or that of a run by iterations.
    """
    losses: dict[int, float] = {}
    validated: dict[int, float] = {}
    minutes = 0.0
    for session in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = list(_rows(session))
        trained = [row for row in rows if 'loss' in row]
        if trained and trained[0]['epoch'] == 1 and max(losses, default=1) > 1:  # it began anew
            losses, validated, minutes = {}, {}, 0.0
        losses.update({row['epoch']: row['loss'] for row in trained})
        validated.update({row['step']: 100 * row['acc/top1'] for row in rows if 'acc/top1' in row})
        if trained:  # not only resumed for a last validation
            minutes += _minutes(session.parents[1])
    if not losses:
        raise UserError(f'{work_dir} has no training log')
    quarters = dict.fromkeys(max(losses) * quarter // len(QUARTERS) for quarter in QUARTERS)
    found: dict[str, Any] = dict(_accuracies(work_dir, clips))
    found['loss'] = [round(losses[epoch], 2) for epoch in quarters if epoch in losses]
    found['one_clip'] = [round(validated[epoch], 1) for epoch in quarters if epoch in validated]
    found['minutes'] = round(minutes)
    if validated:
        epochs = max(validated), max(validated, key=lambda epoch: (validated[epoch], -epoch))
        found |= {
            name: (one, round(validated[one], 2)) for name, one in zip(('last', 'best'), epochs, strict=True)
        }
    return found


def _rows(log: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log, without the last one if the training was killed while it was written."""
    lines = log.read_text(encoding='utf-8').splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            if line is lines[-1] and not line.endswith('\n'):
                return
            raise UserError(f'{log}, line {number} is damaged') from None
        if 'loss' in row and 'epoch' not in row:
            raise UserError(f'{log}: a run by iterations, not by epochs')
        yield row


def _accuracies(work_dir: Path, clips: LabeledClips | None) -> Iterator[tuple[str, float]]:
    try:
        scores = read_scores(work_dir, clips)
    except FileNotFoundError:  # not tested yet
        return
    if not isinstance(scores, LabeledScores):
        raise UserError(f'{work_dir}: its scores have no labels')
    ranks = ranks_by_head(scores.heads, scores.labels)
    fused = accuracies(ranks[FUSED], scores.labels)
    for key in ('top1', 'top5'):
        yield key, round(100 * fused[key], 2)
    for head, title in {'coarse': 'coarse', 'fine': 'fine', 'oracle': 'either'}.items():
        if head in ranks:
            yield title, round(100 * float((ranks[head] == 0).mean()), 2)


def _minutes(session: Path) -> float:
    """From the first line of a session's log to the last."""
    times = TIME.findall((session / f'{session.name}.log').read_text(encoding='utf-8'))
    if not times:
        return 0.0
    first, last = (datetime.strptime(time, '%Y/%m/%d %H:%M:%S') for time in (times[0], times[-1]))
    return (last - first).total_seconds() / 60

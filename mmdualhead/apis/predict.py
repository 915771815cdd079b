"""Answers for files on the command line, as ``tools/predict.py`` gives them. K classes."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdualhead.apis.answer import Answer
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.utils.files import write_text

WIDTH = 100
"""Columns of the table where the terminal does not say."""


def predict(
    inferencer: SkeletonInferencer,
    recordings: Sequence[str],
    json_out: Path | None = None,
    csv_out: Path | None = None,
    view: Path | None = None,
    top: int = 5,
    **options: Any,
) -> dict[str, Any]:
    """Answer for recordings, write what is asked for, and leave out what can't be answered.

    Args:
        inferencer: gives the answers.
        recordings: files, directories or patterns.
        json_out: a file for everything that is known of each recording.
        csv_out: a file with a line for each of the best classes of each recording.
        view: a directory for a page per recording.
        top: how many classes.
        options: see :meth:`~mmdualhead.apis.inferencer.SkeletonInferencer.__call__`.

    Returns:
        What the inferencer gives: ``predictions``, ``left_out`` and ``visualization``.
    """
    result = inferencer(
        list(recordings),
        on_error='skip',
        vis_out_dir=view,
        pred_out_file=json_out,
        top=top,
        **options,
    )
    if csv_out is not None:
        write_csv(result['predictions'], csv_out, top)
    return result


def write_csv(answers: Sequence[Answer], path: Path, top: int) -> None:
    """Write ``recording, rank, label, class, score, true_class``, a line per recording and rank."""
    text = io.StringIO(newline='')
    writer = csv.writer(text)
    writer.writerow(['recording', 'rank', 'label', 'class', 'score', 'true_class'])
    for answer in answers:
        name = answer.source or answer.name
        true = '' if answer.true_label is None else answer.classes[answer.true_label]
        for rank, guess in enumerate(answer.top(top), 1):
            writer.writerow([name, rank, guess.label, guess.name, f'{guess.score:.6f}', true])
    write_text(path, text.getvalue())


def to_table(answers: Sequence[Answer], top: int) -> str:
    """A table to read: a line per recording, its best classes with their scores in per cent."""
    if not answers:
        return ''
    width = shutil.get_terminal_size((WIDTH, 0)).columns
    names = [_shorten(answer.name, 32) for answer in answers]
    first = max(len('recording'), *map(len, names))
    lines = [f'{"recording":{first}}  best classes, %']
    for answer, name in zip(answers, names, strict=True):
        guesses = [f'{guess.name} {100 * guess.score:.1f}' for guess in answer.top(top)]
        if answer.true_label not in (None, answer.label):
            guesses.append(f'(is {answer.classes[answer.true_label]})')
        lines += _fold(f'{name:{first}}  ', guesses, width)
    return '\n'.join(lines)


def _fold(head: str, guesses: Sequence[str], width: int) -> list[str]:
    """The guesses in as many lines as they need."""
    lines, line = [], head + guesses[0]
    for guess in guesses[1:]:
        if len(line) + len(guess) + 2 > width:
            lines.append(line + ',')
            line = ' ' * len(head) + guess
        else:
            line += f', {guess}'
    return [*lines, line]


def _shorten(name: str, most: int) -> str:
    return name if len(name) <= most else f'...{name[3 - most :]}'


def complain(left_out: dict[str, str], total: int) -> None:
    """Name on standard error what was left out."""
    for reason in left_out.values():
        sys.stderr.write(f'left out: {reason}\n')
    if left_out:
        sys.stderr.write(f'{len(left_out)} of {total} recordings were left out\n')

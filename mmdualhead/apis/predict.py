"""What ``tools/predict.py`` shows and writes of answers."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdualhead.apis.answer import Answer
from mmdualhead.utils.files import write_text

WIDTH = 100
"""Columns of the table where the terminal does not say."""

MOST = 32
"""Columns for the name of a recording."""


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
    names = [
        answer.name if len(answer.name) <= MOST else f'...{answer.name[3 - MOST :]}' for answer in answers
    ]
    first = max(len('recording'), *map(len, names)) + 2
    lines = [f'{"recording":{first}}best classes, %']
    for name, answer in zip(names, answers, strict=True):
        guesses = [f'{guess.name} {100 * guess.score:.1f}' for guess in answer.top(top)]
        if answer.true_label not in (None, answer.label):
            guesses.append(f'(is {answer.classes[answer.true_label]})')
        # Lines break between classes, not within their names.
        text = ', '.join(guess.replace(' ', '\xa0') for guess in guesses)
        lines += textwrap.wrap(
            text,
            shutil.get_terminal_size((WIDTH, 0)).columns,
            initial_indent=f'{name:{first}}',
            subsequent_indent=' ' * first,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return '\n'.join(lines).replace('\xa0', ' ')


def complain(left_out: Mapping[str, str], total: int) -> None:
    """Name on standard error what was left out."""
    for reason in left_out.values():
        sys.stderr.write(f'left out: {reason}\n')
    if left_out:
        sys.stderr.write(f'{len(left_out)} of {total} recordings were left out\n')

"""Write predictions one by one, as they are made: rows of a table, CSV, JSON, JSON lines."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from mmdualhead.evaluation.answer import Answer
from mmdualhead.utils.files import STDOUT, atomic_write, name_in_errors
from mmdualhead.utils.tables import csv_rows
from mmdualhead.utils.text import printable

WIDTH = 100
"""Width of the table if the terminal's is unknown."""

MOST = 32
"""Columns for the name of a recording."""

PERSONS = 8
"""Columns for the ids of persons."""

Write = Callable[[Answer], None]


@contextmanager
def table(names: Iterable[str], top: int, per_person: bool) -> Iterator[Write]:
    """Print a line per recording, or per person, with its best classes and their scores in percent.

    Args:
        names: of all recordings, so that the columns are as wide from the first line on.
        top: number of classes.
        per_person: with a column for the persons.
    """
    first = max(len('recording'), *(min(MOST, len(printable(name))) for name in names)) + 2
    indent = first + PERSONS * per_person
    out = _stdout()
    header = f'{"recording":{first}}' + f'{"person":{PERSONS}}' * per_person + 'best classes, %'

    def write(answer: Answer) -> None:
        nonlocal header
        line = _cell(answer.name, first) + _cell(answer.person, PERSONS) * per_person
        lines = [header] * bool(header) + _wrapped(line, answer, top, indent)
        header = ''
        print('\n'.join(lines), file=out, flush=True)

    yield write


def _cell(text: str, width: int) -> str:
    """A column of a fixed width; of a longer text, the end is shown."""
    text = printable(text)
    return f'{text if len(text) <= width - 2 else "..." + text[5 - width :]:{width}}'


def _wrapped(line: str, answer: Answer, top: int, indent: int) -> list[str]:
    """The lines of an answer, which break between classes, not within their names."""
    guesses = [f'{printable(guess.name)} {100 * guess.score:.1f}' for guess in answer.top(top)]
    if answer.true_label not in (None, answer.label):
        guesses.append(f'(is {printable(answer.classes[answer.true_label])})')
    lines = textwrap.wrap(
        ', '.join(guess.replace(' ', '\xa0') for guess in guesses),
        shutil.get_terminal_size((WIDTH, 0)).columns,
        initial_indent=line,
        subsequent_indent=' ' * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace('\xa0', ' ') for line in lines]


@contextmanager
def csv_file(path: Path, top: int) -> Iterator[Write]:
    """Write ``recording, rank, label, class, score, true_class, person, name``, a line per answer and rank.

    The recording is a file, of which one of annotations has many, by their names.
    """
    header = ['recording', 'rank', 'label', 'class', 'score', 'true_class', 'person', 'name']

    def rows(answer: Answer) -> Iterator[list[object]]:
        true = '' if answer.true_label is None else answer.classes[answer.true_label]
        for rank, guess in enumerate(answer.top(top), 1):
            scored = [rank, guess.label, guess.name, f'{guess.score:.6f}']
            yield [answer.source or answer.name, *scored, true, answer.person, answer.name]

    def write(answer: Answer) -> None:
        file.write(csv_rows(rows(answer)).encode())

    with atomic_write(path) as file:
        file.write(csv_rows([header]).encode())
        yield write


@contextmanager
def json_file(path: Path, top: int, left_out: Mapping[str, str]) -> Iterator[Write]:
    """Write ``predictions``, and in the end ``left_out``, the reasons of the recordings that were skipped."""
    with atomic_write(path) as file:
        # Whole also if a signal ends a call of write: whatever precedes the first answer is there before.
        separator = '\n'
        file.write(b'{\n "predictions": [')

        def write(answer: Answer) -> None:
            nonlocal separator
            text = textwrap.indent(json.dumps(answer.to_dict(top), indent=1), '  ')
            file.write(f'{separator}{text}'.encode())
            separator = ',\n'

        yield write
        end = ']' if separator == '\n' else '\n ]'
        skipped = textwrap.indent(json.dumps(dict(left_out), indent=1), ' ').lstrip()
        file.write(f'{end},\n "left_out": {skipped}\n}}\n'.encode())


@contextmanager
def json_lines(path: Path, top: int) -> Iterator[Write]:
    """Write an object per line, at once; ``-`` is the standard output."""
    with name_in_errors(path), _opened(path) as file:
        yield lambda answer: print(json.dumps(answer.to_dict(top)), file=file, flush=True)


def _opened(path: Path) -> AbstractContextManager[IO[str] | None]:
    return nullcontext(_stdout()) if path == STDOUT else path.open('w', encoding='utf-8')


def _stdout() -> IO[str] | None:
    """Where :func:`print` writes: what a progress bar on the same terminal replaces, but never a pipe's."""
    return None if sys.stdout.isatty() else sys.stdout

"""Text, Markdown and CSV tables from rows of cells with any content."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence

from mmdualhead.utils.text import printable

Cells = Sequence[object]

SPECIAL = re.compile(r'[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])')
"""Characters that Markdown reads as a link, an image, a formula, emphasis, code or the end of a cell."""

FORMULA = tuple('=+-@\t\r\n\uff1d\uff0b\uff0d\uff20')
"""First characters that a spreadsheet reads as a formula."""


def text_table(header: Cells, rows: Sequence[Cells]) -> str:
    """Aligned columns for a terminal; all but the first are flushed right."""
    cells = [[printable(' '.join(str(cell).split())) for cell in row] for row in (header, *rows)]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ['-' * width for width in (first, *others)])
    lines = ['  '.join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in cells]
    return '\n'.join(map(str.rstrip, lines))


def escape_markdown(text: object) -> str:
    """Text that stays text in Markdown, in a cell or outside, such as that of a class named ``![<b>|``."""
    one_line = printable(' '.join(str(text).split()))
    escaped = SPECIAL.sub(r'\\\g<0>', one_line)
    return escaped.replace('&', '&amp;').replace('<', '&lt;')


def markdown_table(
    header: Cells, rows: Sequence[Cells], cell: Callable[[object], str] = escape_markdown
) -> str:
    """A Markdown table; all columns but the first are flushed right.

    Args:
        header: one cell per column.
        rows: the cells of each row.
        cell: formats a cell; defaults to :func:`escape_markdown`, so that cells with any content stay text.
            With ``str`` they are Markdown themselves.
    """
    head, *body = [[cell(value) for value in row] for row in (header, *rows)]
    lines = [head, ['---', *['---:'] * (len(header) - 1)], *body]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def csv_table(header: Cells, rows: Iterable[Cells]) -> str:
    """CSV whose texts stay texts: an apostrophe precedes those that a spreadsheet would compute."""
    return csv_rows([header, *rows])


def csv_rows(rows: Iterable[Cells]) -> str:
    """Further lines of a :func:`csv_table`."""
    text = io.StringIO(newline='')
    csv.writer(text).writerows([_csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _csv_cell(cell: object) -> object:
    if isinstance(cell, int | float | None):
        return cell
    text = str(cell)
    return printable(f"'{text}" if text.startswith(FORMULA) else text)


def percent(fraction: float) -> str:
    """``0.9231`` as ``92.31``."""
    return f'{100 * fraction:.2f}'

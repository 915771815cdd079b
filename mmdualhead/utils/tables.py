"""Tables (text, Markdown) out of rows of cells, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Cells = Sequence[object]

SPECIAL = re.compile(r'[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])')
"""What Markdown reads as a link, a picture, a formula, emphasis, code or the end of a cell."""


def text_table(header: Cells, rows: Sequence[Cells]) -> str:
    """Aligned columns for a terminal; all but the first are flushed right."""
    cells = [[' '.join(str(cell).split()) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    align: list[Callable[..., str]] = [str.ljust, *[str.rjust] * (len(header) - 1)]
    lines = [
        '  '.join(a(cell, width) for a, cell, width in zip(align, row, widths, strict=True)).rstrip()
        for row in (cells[0], ['-' * width for width in widths], *cells[1:])
    ]
    return '\n'.join(lines)


def markdown_table(header: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table; all columns but the first are flushed right. Cells stay text, whatever is in them."""
    head, *body = [[escape_markdown(cell) for cell in row] for row in (header, *rows)]
    lines = [head, ['---', *['---:'] * (len(header) - 1)], *body]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def escape_markdown(text: object) -> str:
    """Text that stays text in Markdown, in a cell or outside, such as that of a class named ``![<b>|``."""
    one_line = ' '.join(str(text).split())
    escaped = SPECIAL.sub(r'\\\g<0>', one_line)
    return escaped.replace('&', '&amp;').replace('<', '&lt;')


def percent(fraction: float) -> str:
    """``0.9231`` as ``92.31``."""
    return f'{100 * fraction:.2f}'

"""Tables (text, Markdown) out of rows of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Cells = Sequence[object]


def text_table(header: Cells, rows: Sequence[Cells]) -> str:
    """Aligned columns for a terminal; all but the first are flushed right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_join_cells('  ', row, widths) for row in cells]
    return '\n'.join([lines[0], '  '.join('-' * width for width in widths), *lines[1:]])


def markdown_table(header: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table; all columns but the first are flushed right. Cells stay text, whatever is in them."""
    rules = ['---', *['---:'] * (len(header) - 1)]
    lines = [list(map(escape_markdown, header)), rules, *(list(map(escape_markdown, row)) for row in rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def escape_markdown(cell: object) -> str:
    """A cell's text without what would end the cell or begin HTML, such as a class named ``<b>|``."""
    text = ' '.join(str(cell).splitlines())
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('|', '\\|')


def percent(fraction: float) -> str:
    """``0.9231`` as ``92.31``."""
    return f'{100 * fraction:.2f}'


def _join_cells(gap: str, row: Sequence[str], widths: Sequence[int]) -> str:
    align: list[Callable[..., str]] = [str.ljust, *[str.rjust] * (len(row) - 1)]
    return gap.join(a(cell, width) for a, cell, width in zip(align, row, widths, strict=True)).rstrip()

"""Tables for people (text, Markdown) out of rows of cells."""

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
    """A Markdown table; all columns but the first are flushed right."""
    rules = ['---', *['---:'] * (len(header) - 1)]
    return '\n'.join(f'| {" | ".join(map(str, row))} |' for row in (header, rules, *rows))


def percent(fraction: float) -> str:
    """``0.9231`` as ``92.31``."""
    return f'{100 * fraction:.2f}'


def _join_cells(gap: str, row: Sequence[str], widths: Sequence[int]) -> str:
    align: list[Callable[..., str]] = [str.ljust, *[str.rjust] * (len(row) - 1)]
    return gap.join(a(cell, width) for a, cell, width in zip(align, row, widths, strict=True)).rstrip()

"""The plain equations; tests/models/test_parity.py holds them to the authors' numbers."""

import inspect
import textwrap
from pathlib import Path

from benchmarking.reference import Reference

PAGE = Path(__file__).parents[3] / 'docs' / 'extend.md'


def test_the_page_on_parts_shows_the_network():
    code = textwrap.dedent(inspect.getsource(Reference.dualhead))
    assert f'```python\n{code}```' in PAGE.read_text(encoding='utf-8')

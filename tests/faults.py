"""``python -m tests.faults`` writes docs/faults.md out of the ``fault`` marks of the tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'faults.md'
HEAD = """# What goes wrong, and what happens then

Every row is a test that causes the fault. The middle column says what was seen with MMAction2 1.2.0, mmengine
0.10.7 and torch 2.13 alone; where it has a dash, that was not tried, or there is no such program. The page is
made by `python -m tests.faults` out of the `fault` marks of the tests.

| fault | MMAction2's own stack | with mmdualhead | test |
| --- | --- | --- | --- |
"""


def marked_tests() -> Iterator[tuple[str, str, str, str]]:
    """(fault, MMAction2's stack, ours, test) of every test with ``@pytest.mark.fault(...)``."""
    for path in sorted(ROOT.glob('tests/**/test_*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            for mark in getattr(node, 'decorator_list', ()):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == 'pytest.mark.fault':
                    name = f'{path.relative_to(ROOT / "tests").as_posix()}: {node.name}'
                    yield *(ast.literal_eval(text) for text in mark.args), f'`{name}`'


def make_page() -> str:
    """The page."""
    return HEAD + ''.join(f'| {" | ".join(row)} |\n' for row in marked_tests())


if __name__ == '__main__':
    PAGE.write_text(make_page(), encoding='utf-8')

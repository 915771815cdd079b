"""The README and the guide lead where they say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
PAGES = {page.stem: page.read_text() for page in (ROOT / 'docs').glob('*.md')}


def anchors(text: str) -> set[str]:
    """As GitHub forms them from headings."""
    headings = re.findall('^#+ (.+)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_the_readme_is_short_and_its_contents_are_its_headings():
    assert len(README.splitlines()) <= 150
    assert {name for name in re.findall(r'\(#(.+?)\)', README)} == anchors(README) - {
        'dualhead-net-for-mmaction2'
    }


def test_every_page_is_linked_from_the_readme():
    """Directly or, for details, from a page that is."""
    linked = set(re.findall(r'docs/(\w+)\.md', README))
    second = {name for page in linked for name in re.findall(r'\]\((\w+)\.md', PAGES[page])}
    assert linked | second | {'index'} >= set(PAGES)


@pytest.mark.parametrize('page', ['README', *sorted(PAGES)])
def test_files_that_are_linked_exist(page):
    """Sphinx finds missing pages; README, images and other files are seen here."""
    folder, text = (ROOT, README) if page == 'README' else (ROOT / 'docs', PAGES[page])
    code = re.sub(r'```.*?```|`[^`]*`', '', text, flags=re.DOTALL)
    for target in re.findall(r'\]\((?!https?:|#)([^)#]+)', code):
        assert (folder / target).exists(), target


def test_the_guide_is_grouped():
    captions = re.findall('^:caption: (.+)$', PAGES['index'], re.MULTILINE)
    assert captions == ['Start', 'Data', 'Train', 'Evaluate', 'Use', 'Extend', 'Design', 'Reference']

"""All layouts can be drawn, and the page on them lists what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from draw_layouts import draw_layouts, position
from mmdualhead.skeletons import SKELETONS

PAGE = Path(__file__).parents[2] / 'docs' / 'layouts.md'


@pytest.mark.parametrize('skeleton', SKELETONS.values(), ids=SKELETONS)
def test_every_joint_has_a_place_of_its_own(skeleton):
    places = [position(skeleton, joint) for joint in range(skeleton.num_joints)]
    assert len(set(places)) == len(places)
    for left, right in skeleton.pairs:
        assert places[left][0] == -places[right][0] > 0


def test_the_picture(tmp_path):
    draw_layouts(tmp_path / 'x.png')
    assert (tmp_path / 'x.png').read_bytes()[:4] == b'\x89PNG'
    with pytest.raises(ValueError, match=r'x\.jpg: figures are written as \.png'):
        draw_layouts(tmp_path / 'x.jpg')
    assert not (tmp_path / 'x.jpg').exists()


@pytest.mark.parametrize('skeleton', SKELETONS.values(), ids=SKELETONS)
def test_the_page_lists_the_joints(skeleton):
    text = re.sub(r'\s+', ' ', PAGE.read_text().partition('## Joints')[2])
    assert f'### {skeleton.name} ' in text
    assert ', '.join(f'{i} {joint}' for i, joint in enumerate(skeleton.joints)) in text

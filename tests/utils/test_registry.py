import sys

import pytest
from mmaction.registry import MODELS, TRANSFORMS

from mmdualhead.models import TemporalAttention
from mmdualhead.utils.registry import registered


@pytest.mark.parametrize(
    'name', ['TemporalAttention', 'mmaction.TemporalAttention', 'mmdualhead.models.TemporalAttention']
)
def test_names_of_a_registered_part(name):
    assert registered(MODELS, name) is TemporalAttention


def test_parts_of_the_registries_above():
    assert registered(TRANSFORMS, 'LoadImageFromFile').__module__.startswith('mmcv')


@pytest.mark.parametrize(
    'name', ['os.system', 'antigravity.TemporalAttention', 'Nothing', 'collections.Counter']
)
def test_nothing_else_is_found_or_imported(name):
    assert registered(MODELS, name) is None
    assert 'antigravity' not in sys.modules

"""What the rest of the package asks of a backbone."""

import pytest
from mmaction.models import STGCN

from mmdualhead.models.backbone import input_shape_of


@pytest.mark.parametrize(('kind', 'persons'), [('MVC', 3), ('VC', None)])
def test_what_backbones_of_mmaction2_take(kind, persons):
    graph = dict(layout='coco', mode='spatial')
    backbone = STGCN(graph, num_stages=1, in_channels=2, num_person=3, data_bn_type=kind)
    assert input_shape_of(backbone) == (persons, 17, 2)

"""Parts that do not fit their places are refused when a network is built, or at its first batch."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdualhead.errors import UserError
from mmdualhead.models.build import build_part
from mmdualhead.models.heads import CoarseHead, FineHead
from tests.models.networks import build, small_dualhead_config

ROOT = Path(__file__).parents[2]


class MeanInTime(nn.Module):
    """An attention that gives one frame for all; broadcasting would let the network go on."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:  # noqa: ARG002
        return x.mean(2, keepdim=True)


class PlainBlock(nn.Conv2d):
    """A block that leaves no frames out."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)


class Needy(nn.Module):
    """Asks for what no place offers."""

    def __init__(self, widths: Any) -> None:
        super().__init__()
        self.widths = widths


class Ring:
    """A graph of one's own, in double precision as numpy makes it."""

    def __init__(self, layout: Any, spatial: int = 5, windowed: int = 5) -> None:  # noqa: ARG002
        self.num_joints = 5
        self.spatial = np.eye(spatial)[None]
        self.nodes = windowed

    def windowed(self, window: int) -> np.ndarray:
        return np.eye(window * self.nodes)[None]


def graph(**sizes: int) -> dict:
    return dict(graph_cfg=dict(type=Ring, _delete_=True, layout='coco', **sizes))


FAULTS = {
    'PlainBlock has no stride, but its place needs a stride of 2': dict(
        heads=dict(fine=dict(block=dict(type=PlainBlock)))
    ),
    r"Needy needs 'widths', .*\(channels, source_channels": dict(attentions=dict(spatial=dict(type=Needy))),
    "TemporalAttention has no argument 'kernel'": dict(attentions=dict(temporal=dict(kernel=3))),
    "'NoBlock' is not registered": dict(backbone=dict(block=dict(type='NoBlock'))),
    'a part has no type': dict(heads=dict(middle=dict(channels=(24, 48)))),
    'window=4, expected an odd number of at least 1': dict(backbone=dict(windows=(4,))),
    r'Ring.spatial is \(1, 4, 4\); expected \(K, 5, 5\)': graph(spatial=4),
    r'Ring.windowed\(3\) is \(1, 3, 3\); expected \(K, 15, 15\)': graph(windowed=1),
    'SkeletonGraph: gcn_scales=0, expected integers of at least 1': dict(graph_cfg=dict(gcn_scales=0)),
    r'CoarseHead: strides=\(0, 2\), expected integers': dict(heads=dict(coarse=dict(strides=(0, 2)))),
    'Subsample: rate=0.5, expected integers': dict(heads=dict(coarse=dict(subsample=0.5))),
    'FineHead: reduction=0, expected integers': dict(heads=dict(fine=dict(reduction=0))),
    r'MS-TCN: dilations=\(0, 1\), expected integers': dict(heads=dict(coarse=dict(dilations=(0, 1)))),
    'attention: kernel_size=-1, expected integers': dict(attentions=dict(temporal=dict(kernel_size=-1))),
    'STGCBackbone: num_person=0, expected integers': dict(backbone=dict(num_person=0)),
    'num_classes=0, expected integers': dict(cls_head=dict(num_classes=0)),
    'label_smooth_eps is -2, expected 0 to 1': dict(cls_head=dict(label_smooth_eps=-2)),
    'dropout is 1.5, expected 0 to 1': dict(cls_head=dict(dropout=1.5)),
    "loss_weights are {'coarse': -1}; expected numbers from 0": dict(
        cls_head=dict(loss_weights=dict(coarse=-1))
    ),
}

NOTHING = {
    'heads is empty, or None for each': dict(heads=dict(coarse=None, fine=None), attentions=None),
    'cls_head is empty': dict(cls_head=dict(_delete_=True)),
}


@pytest.mark.fault(
    'head, attention, block or graph that does not fit its place, or has a number out of range',
    '-',
    'refused in one line that names it',
)
@pytest.mark.parametrize('message', FAULTS)
def test_what_does_not_fit_is_refused_when_it_is_built(message):
    with pytest.raises(UserError, match=message):
        build(small_dualhead_config(**FAULTS[message]))


@pytest.mark.parametrize('message', NOTHING)
def test_a_network_without_heads_or_classifier_is_refused_in_a_sentence(message):
    with pytest.raises(UserError, match=message):
        build(small_dualhead_config(**NOTHING[message]))


@pytest.mark.parametrize('parts', [{}, None])
def test_no_heads_at_all(parts):
    config = {**small_dualhead_config(), 'heads': parts, 'attentions': None}
    with pytest.raises(UserError, match='heads is empty'):
        build(config)


@pytest.mark.fault('attention that changes the shape of what it weighs', '-', 'refused at the first batch')
def test_an_attention_keeps_the_shape():
    model = build(small_dualhead_config(attentions=dict(spatial=dict(type=MeanInTime))))
    with pytest.raises(UserError, match=r"'spatial' makes \(1, 12, 1, 5\) of \(1, 12, 7, 5\)"):
        model.interleave(torch.randn(1, 12, 13, 5))


def test_none_removes_a_head():
    model = build(small_dualhead_config(heads=dict(fine=None), attentions=None))
    assert list(model.interleave(torch.randn(1, 12, 13, 5))) == ['coarse']


def test_a_graph_may_be_in_double_precision():
    model = build(small_dualhead_config(**graph()))
    assert {name: x.dtype for name, x in model.interleave(torch.randn(1, 12, 13, 5)).items()} == dict(
        coarse=torch.float32, fine=torch.float32
    )


def test_a_part_gets_what_it_names_and_its_config_goes_first():
    part = build_part(dict(type=Needy, widths=1), widths=2, channels=3)
    assert part.widths == 1


@pytest.mark.parametrize(('name', 'kind'), [('coarse', CoarseHead), ('fine', FineHead)])
def test_the_default_heads_are_those_of_the_paper_s_config(name, kind):
    head = dict(Config.fromfile(ROOT / 'configs' / 'dualhead_ntu60_xsub_j.py').model.heads[name])
    assert head.pop('type') == kind.__name__
    defaults = inspect.signature(kind).parameters
    assert {key: defaults[key].default for key in head} == {
        key: tuple(value) if isinstance(value, list) else value for key, value in head.items()
    }

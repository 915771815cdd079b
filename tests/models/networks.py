"""Networks, built from configs as a user would."""

from __future__ import annotations

from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn


def dualhead_config(
    layout: Any = 'nturgb+d', gcn_scales: int = 9, g3d_scales: int = 6, num_classes: int = 60
) -> dict:
    return dict(
        type='DualHeadRecognizer',
        graph_cfg=dict(layout=layout, gcn_scales=gcn_scales, g3d_scales=g3d_scales),
        backbone=dict(type='STGCBackbone'),
        heads=dict(coarse=dict(type='CoarseHead'), fine=dict(type='FineHead')),
        attentions=dict(
            temporal=dict(type='TemporalAttention', source='fine', target='coarse', weighs='input'),
            spatial=dict(type='SpatialAttention', source='coarse', target='fine', weighs='output'),
        ),
        cls_head=dict(type='DualHeadClassifier', num_classes=num_classes),
    )


def msg3d_config(
    layout: Any = 'nturgb+d', gcn_scales: int = 13, g3d_scales: int = 6, num_classes: int = 60
) -> dict:
    return dict(
        type='RecognizerGCN',
        backbone=dict(
            type='STGCBackbone',
            graph_cfg=dict(layout=layout, gcn_scales=gcn_scales, g3d_scales=g3d_scales),
            channels=(96, 192, 384),
            strides=(1, 2, 2),
        ),
        cls_head=dict(type='GCNHead', num_classes=num_classes, in_channels=384),
    )


def ctrgcn_config(num_classes: int = 60) -> dict:
    return dict(
        type='RecognizerGCN',
        backbone=dict(
            type='STGCBackbone',
            graph_cfg=dict(layout='nturgb+d'),
            block=dict(type='CTRGCBlock'),
            channels=(64,) * 4 + (128,) * 3 + (256,) * 3,
            strides=(1, 1, 1, 1, 2, 1, 1, 2, 1, 1),
            dilations=(1, 2),
        ),
        cls_head=dict(type='GCNHead', num_classes=num_classes, in_channels=256),
    )


def small_ctrgcn_config() -> dict:
    """Blocks of every kind, on a skeleton of five joints: a first, a projected and a plain one."""
    config = ctrgcn_config(num_classes=7)
    config['backbone'] |= dict(
        graph_cfg=dict(layout=dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)])),
        channels=(16, 24, 24),
        strides=(1, 2, 1),
    )
    config['cls_head'] |= dict(in_channels=24)
    return config


def small_dualhead_config(**overrides: Any) -> dict:
    """A whole DualHead-Net of few channels on a skeleton of five joints."""
    layout = dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)], pairs=[(2, 3)])
    config = dualhead_config(layout, gcn_scales=3, g3d_scales=2, num_classes=7)
    config['backbone'] |= dict(channels=(12,), num_person=2)
    for head in config['heads'].values():
        head['channels'] = (24, 48)
    return dict(Config._merge_a_into_b(overrides, config))


def build(config: dict) -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmaction'):
        return MODELS.build(config)

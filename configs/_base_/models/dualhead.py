# DualHead-Net as in the paper, for NTU RGB+D; all of its other numbers are the defaults of its parts.
model = dict(
    type='DualHeadRecognizer',
    graph_cfg=dict(layout='nturgb+d', gcn_scales=9, g3d_scales=6),
    backbone=dict(type='STGCBackbone', in_channels=3, num_person=2, channels=(96,)),
    heads=dict(
        coarse=dict(type='CoarseHead', channels=(192, 384), subsample=2, windows=(3,), dilations=(1, 2)),
        fine=dict(type='FineHead', channels=(192, 384), reduction=2, windows=(3, 5), dilations=(1, 2, 3, 4)),
    ),
    # The fine head weights the coarse head's frames, the coarse head the fine head's joints.
    attentions=dict(
        temporal=dict(type='TemporalAttention', source='fine', target='coarse', weighs='input'),
        spatial=dict(type='SpatialAttention', source='coarse', target='fine', weighs='output'),
    ),
    cls_head=dict(type='DualHeadClassifier', num_classes=60, fuse='prob'),
)

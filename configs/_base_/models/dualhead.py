# DualHead-Net as in the paper, for NTU RGB+D; all of its other numbers are the defaults of its parts.
model = dict(
    type='DualHeadRecognizer',
    graph_cfg=dict(layout='nturgb+d', gcn_scales=9, g3d_scales=6),
    backbone=dict(type='STGCBackbone', in_channels=3, num_person=2, channels=(96,)),
    coarse_head=dict(type='CoarseHead', channels=(192, 384), subsample=2, windows=(3,), dilations=(1, 2)),
    fine_head=dict(type='FineHead', channels=(192, 384), reduction=2, windows=(3, 5), dilations=(1, 2, 3, 4)),
    temporal_attention=dict(type='TemporalCrossAttention', kernel_size=9),
    spatial_attention=dict(type='SpatialCrossAttention'),
    cls_head=dict(type='DualHeadClassifier', num_classes=60, alpha=0.5, fuse='prob', loss_weights=(0.5, 0.5)),
)

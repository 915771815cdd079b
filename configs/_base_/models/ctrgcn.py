# CTR-GCN (Chen et al., ICCV 2021): ten blocks under MMAction2's recognizer and head.
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='STGCBackbone',
        graph_cfg=dict(layout='nturgb+d'),
        block=dict(type='CTRGCBlock'),
        in_channels=3,
        num_person=2,
        channels=(64, 64, 64, 64, 128, 128, 128, 256, 256, 256),
        strides=(1, 1, 1, 1, 2, 1, 1, 2, 1, 1),
        dilations=(1, 2),
    ),
    cls_head=dict(type='GCNHead', num_classes=60, in_channels=256),
)

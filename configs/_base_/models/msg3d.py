# MS-G3D, the paper's baseline: three STGC blocks under MMAction2's recognizer and head.
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='STGCBackbone',
        graph_cfg=dict(layout='nturgb+d', gcn_scales=13, g3d_scales=6),
        in_channels=3,
        num_person=2,
        channels=(96, 192, 384),
        strides=(1, 2, 2),
    ),
    cls_head=dict(type='GCNHead', num_classes=60, in_channels=384),
)

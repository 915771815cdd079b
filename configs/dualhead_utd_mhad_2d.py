_base_ = ['_base_/models/dualhead_small.py', '_base_/benchmarks/utd_mhad_2d.py']

model = dict(
    graph_cfg=dict(layout='body_13', gcn_scales=6, g3d_scales=4),
    backbone=dict(in_channels=6, channels=(36,)),
    heads=dict(coarse=dict(channels=(72, 144)), fine=dict(channels=(72, 144))),
    cls_head=dict(num_classes=27),
)

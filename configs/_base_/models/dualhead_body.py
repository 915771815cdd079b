# dualhead_small.py for the joints that all estimators find in an image, with three quarters of its channels,
# so that the package can carry it. Few joints are more than five bones apart.
_base_ = 'dualhead_small.py'

model = dict(
    graph_cfg=dict(layout='body_13', gcn_scales=6, g3d_scales=4),
    backbone=dict(in_channels=6, channels=(36,)),
    heads=dict(coarse=dict(channels=(72, 144)), fine=dict(channels=(72, 144))),
)

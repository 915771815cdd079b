# An eighth of the paper's channels, a shallower graph and one window instead of two: every part of the
# network, trained in a minute or two on a CPU.
_base_ = 'dualhead.py'

model = dict(
    graph_cfg=dict(gcn_scales=4, g3d_scales=2),
    backbone=dict(channels=(12,), windows=(3,)),
    heads=dict(coarse=dict(channels=(24, 48)), fine=dict(channels=(24, 48), windows=(3,))),
)

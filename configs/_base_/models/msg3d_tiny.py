# MS-G3D with about as many parameters as dualhead_tiny.py, and the same graph and window.
_base_ = 'msg3d.py'

model = dict(
    backbone=dict(graph_cfg=dict(gcn_scales=4, g3d_scales=2), channels=(18, 36, 72), windows=(3,)),
    cls_head=dict(in_channels=72),
)

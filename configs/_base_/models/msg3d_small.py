# MS-G3D with half its channels, as dualhead_small.py.
_base_ = 'msg3d.py'

model = dict(
    backbone=dict(graph_cfg=dict(layout='kinect_v1'), num_person=1, channels=(48, 96, 192)),
    cls_head=dict(in_channels=192, label_smooth_eps=0.1),
)

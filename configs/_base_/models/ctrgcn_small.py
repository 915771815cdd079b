# CTR-GCN with half its channels, as dualhead_small.py.
_base_ = 'ctrgcn.py'

model = dict(
    backbone=dict(
        graph_cfg=dict(layout='kinect_v1'),
        num_person=1,
        channels=(32, 32, 32, 32, 64, 64, 64, 128, 128, 128),
    ),
    cls_head=dict(in_channels=128, label_smooth_eps=0.1),
)

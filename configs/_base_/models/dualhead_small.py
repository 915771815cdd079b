# Half the paper's channels, for data sets of hundreds of clips and one person, joints of the first Kinect.
_base_ = 'dualhead.py'

model = dict(
    graph_cfg=dict(layout='kinect_v1'),
    backbone=dict(num_person=1, channels=(48,)),
    heads=dict(coarse=dict(channels=(96, 192)), fine=dict(channels=(96, 192))),
    cls_head=dict(label_smooth_eps=0.1),
)

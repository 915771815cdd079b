# ST-GCN with half its channels, as dualhead_small.py.
_base_ = 'stgcn.py'

# The bones of mmdualhead.skeletons.KINECT_V1 in the form of MMAction2's Graph; a test compares them.
kinect_v1 = dict(
    num_node=20,
    inward=[
        *[(0, 1), (1, 2), (3, 2), (4, 2), (5, 4), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 10)],
        *[(12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18)],
    ],
    center=2,
)
model = dict(
    backbone=dict(
        graph_cfg=dict(_delete_=True, layout=kinect_v1, mode='stgcn_spatial'), num_person=1, base_channels=32
    ),
    cls_head=dict(in_channels=128, label_smooth_eps=0.1),
)

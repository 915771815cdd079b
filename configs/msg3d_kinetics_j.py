_base_ = ['_base_/models/msg3d.py', '_base_/benchmarks/kinetics.py']

model = dict(
    backbone=dict(graph_cfg=dict(layout='openpose', gcn_scales=8, g3d_scales=8)),
    cls_head=dict(num_classes=400),
)

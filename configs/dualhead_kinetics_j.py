_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/kinetics.py']

model = dict(
    graph_cfg=dict(layout='openpose', gcn_scales=8, g3d_scales=8),
    cls_head=dict(num_classes=400),
)

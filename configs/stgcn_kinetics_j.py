_base_ = ['_base_/models/stgcn.py', '_base_/benchmarks/kinetics.py']

model = dict(backbone=dict(graph_cfg=dict(layout='openpose')), cls_head=dict(num_classes=400))

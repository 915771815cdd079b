_base_ = ['_base_/models/ctrgcn.py', '_base_/benchmarks/ntu60_xsub_2d.py']

model = dict(backbone=dict(graph_cfg=dict(layout='coco')))

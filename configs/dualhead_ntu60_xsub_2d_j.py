_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/ntu60_xsub_2d.py']

model = dict(graph_cfg=dict(layout='coco'))

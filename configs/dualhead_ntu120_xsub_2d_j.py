_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/ntu120_xsub_2d.py']

model = dict(graph_cfg=dict(layout='coco'), cls_head=dict(num_classes=120))

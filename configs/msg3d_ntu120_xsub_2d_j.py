_base_ = ['_base_/models/msg3d.py', '_base_/benchmarks/ntu120_xsub_2d.py']

# No two joints are more than eight hops apart.
model = dict(backbone=dict(graph_cfg=dict(layout='coco', gcn_scales=9)), cls_head=dict(num_classes=120))

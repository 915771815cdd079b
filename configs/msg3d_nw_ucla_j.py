_base_ = ['_base_/models/msg3d_small.py', '_base_/benchmarks/nw_ucla.py']

model = dict(cls_head=dict(num_classes=10))

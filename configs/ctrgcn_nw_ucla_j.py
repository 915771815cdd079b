_base_ = ['_base_/models/ctrgcn_small.py', '_base_/benchmarks/nw_ucla.py']

model = dict(cls_head=dict(num_classes=10))

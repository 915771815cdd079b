_base_ = ['_base_/models/stgcnpp_small.py', '_base_/benchmarks/nw_ucla.py']

model = dict(cls_head=dict(num_classes=10))

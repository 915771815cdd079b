_base_ = ['_base_/models/stgcn_tiny.py', '_base_/benchmarks/quickstart.py']

model = dict(cls_head=dict(num_classes=12))

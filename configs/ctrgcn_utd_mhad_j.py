_base_ = ['_base_/models/ctrgcn_small.py', '_base_/benchmarks/utd_mhad.py']

model = dict(cls_head=dict(num_classes=27))

_base_ = ['_base_/models/ctrgcn.py', '_base_/benchmarks/ntu120_xset.py']

model = dict(cls_head=dict(num_classes=120))

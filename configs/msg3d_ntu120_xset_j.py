_base_ = ['_base_/models/msg3d.py', '_base_/benchmarks/ntu120_xset.py']

model = dict(cls_head=dict(num_classes=120))

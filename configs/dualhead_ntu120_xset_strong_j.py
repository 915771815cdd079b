_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/ntu120_xset_strong.py']

model = dict(cls_head=dict(num_classes=120, label_smooth_eps=0.1))

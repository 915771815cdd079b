_base_ = ['_base_/models/dualhead_small.py', '_base_/benchmarks/msr_action3d.py']

model = dict(cls_head=dict(num_classes=20))

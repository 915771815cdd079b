_base_ = ['_base_/models/dualhead_body.py', '_base_/benchmarks/utd_mhad_2d.py']

model = dict(cls_head=dict(num_classes=27))

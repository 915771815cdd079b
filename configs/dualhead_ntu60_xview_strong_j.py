_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/ntu60_xview_strong.py']

model = dict(cls_head=dict(label_smooth_eps=0.1))

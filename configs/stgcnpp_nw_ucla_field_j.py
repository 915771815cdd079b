_base_ = ['_base_/models/stgcnpp_small.py', '_base_/benchmarks/nw_ucla_field.py']

# The authors' loss, without label smoothing.
model = dict(cls_head=dict(num_classes=10, label_smooth_eps=0.0))

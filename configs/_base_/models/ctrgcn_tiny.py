# CTR-GCN with a quarter of its channels, as dualhead_tiny.py.
_base_ = 'ctrgcn.py'

model = dict(
    backbone=dict(channels=(16, 16, 16, 16, 32, 32, 32, 64, 64, 64)),
    cls_head=dict(in_channels=64),
)

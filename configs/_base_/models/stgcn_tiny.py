# ST-GCN with about as many parameters as dualhead_tiny.py.
_base_ = 'stgcn.py'

model = dict(backbone=dict(base_channels=10), cls_head=dict(in_channels=40))

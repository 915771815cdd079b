_base_ = 'dualhead_ntu60_xview_strong_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='b'))

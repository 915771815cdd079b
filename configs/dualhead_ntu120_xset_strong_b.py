_base_ = 'dualhead_ntu120_xset_strong_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='b'))

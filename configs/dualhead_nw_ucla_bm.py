_base_ = 'dualhead_nw_ucla_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='bm'))

_base_ = 'dualhead_utd_mhad_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='b'))

_base_ = 'dualhead_ntu120_xsub_strong_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='jm'))

_base_ = 'msg3d_utd_mhad_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='bm'))

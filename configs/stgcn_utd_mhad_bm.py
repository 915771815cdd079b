_base_ = 'stgcn_utd_mhad_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='bm'))

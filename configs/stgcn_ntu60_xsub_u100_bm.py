_base_ = 'stgcn_ntu60_xsub_u100_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='bm'))

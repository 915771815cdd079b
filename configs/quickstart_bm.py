_base_ = 'quickstart_j.py'

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(stream='bm'))

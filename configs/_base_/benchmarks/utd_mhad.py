# UTD-MHAD, odd subjects train.
_base_ = ['../protocols/small.py', '../annotations/utd_mhad.py']

train_dataloader = dict(dataset=dict(split='xsub_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **_base_.annotations))

# NTU RGB+D 120 in 2-D, cross-subject, in the protocol of MMAction2.
_base_ = ['../protocols/uniform100_2d.py', '../annotations/ntu120_2d.py']

train_dataloader = dict(dataset=dict(split='xsub_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **_base_.annotations))

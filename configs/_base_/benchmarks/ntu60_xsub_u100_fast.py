# NTU RGB+D 60, cross-subject, in the protocol of MMAction2 with faster steps.
_base_ = ['../protocols/uniform100_fast.py', '../annotations/ntu60.py']

train_dataloader = dict(dataset=dict(split='xsub_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **_base_.annotations))

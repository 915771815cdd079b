# NTU RGB+D 120, cross-subject.
_base_ = ['../protocols/paper.py', '../annotations/ntu120.py']

train_dataloader = dict(dataset=dict(split='xsub_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **_base_.annotations))

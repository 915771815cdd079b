# NTU RGB+D 60, cross-subject.
_base_ = ['../protocols/paper.py', '../annotations/ntu60.py']

train_dataloader = dict(dataset=dict(split='xsub_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **_base_.annotations))

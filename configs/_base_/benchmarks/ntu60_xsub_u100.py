# NTU RGB+D 60, cross-subject, in the protocol of MMAction2.
_base_ = ['../protocols/uniform100.py', '../annotations/ntu60.py']

train_dataloader = dict(dataset=dict(ann_file=_base_.annotations.ann_file, split='xsub_train'))
val_dataloader = test_dataloader = dict(dataset=dict(ann_file=_base_.annotations.ann_file, split='xsub_val'))

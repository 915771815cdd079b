# NTU RGB+D 60, cross-view.
_base_ = 'ntu60_xsub.py'

train_dataloader = dict(dataset=dict(split='xview_train'))
val_dataloader = test_dataloader = dict(dataset=dict(split='xview_val'))

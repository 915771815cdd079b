# NTU RGB+D 60, cross-view, with the strong recipe.
_base_ = 'ntu60_xsub_strong.py'

train_dataloader = dict(dataset=dict(split='xview_train'))
val_dataloader = test_dataloader = dict(dataset=dict(split='xview_val'))

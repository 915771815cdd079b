# NTU RGB+D 120, cross-setup, with the strong recipe.
_base_ = 'ntu120_xsub_strong.py'

train_dataloader = dict(dataset=dict(split='xset_train'))
val_dataloader = test_dataloader = dict(dataset=dict(split='xset_val'))

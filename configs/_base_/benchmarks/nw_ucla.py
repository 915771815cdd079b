# NW-UCLA, views 1 and 2 train, view 3 tests.
_base_ = ['../protocols/small_views.py', '../annotations/nw_ucla.py']

train_dataloader = dict(dataset=dict(split='xview_train', **_base_.annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xview_val', **_base_.annotations))

# NW-UCLA, views 1 and 2 train, view 3 tests.
_base_ = '../protocols/small_views.py'

annotations = dict(
    ann_file='data/skeleton/nw_ucla.pkl',
    num_classes=10,
    ann_source='It is made from the 1,484 files aAA_sSS_eEE_vVV.json, commonly called all_sqe '
    '(see https://github.com/Uason-Chen/CTR-GCN), by: '
    'mmdualhead data nw_ucla JSON_FOLDER data/skeleton/nw_ucla.pkl',
)
train_dataloader = dict(dataset=dict(split='xview_train', **annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xview_val', **annotations))

# UTD-MHAD seen by virtual cameras, odd subjects train.
_base_ = ['../protocols/small_2d.py']

annotations = dict(
    ann_file='data/skeleton/utd_mhad.pkl',
    num_classes=27,
    ann_source='Skeletons: https://personal.utdallas.edu/~kehtar/UTD-MHAD.html; then '
    'mmdualhead data utd_mhad SKELETON_FOLDER data/skeleton/utd_mhad.pkl',
)
train_dataloader = dict(dataset=dict(split='xsub_train', **annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **annotations))

# MSR-Action3D, odd subjects train.
_base_ = '../protocols/small.py'

annotations = dict(
    ann_file='data/skeleton/msr_action3d.pkl',
    num_classes=20,
    ann_source='Skeletons: https://wangjiangb.github.io/my_data.html; then '
    'mmdualhead data msr_action3d SKELETON_FOLDER data/skeleton/msr_action3d.pkl',
)
train_dataloader = dict(dataset=dict(split='xsub_train', **annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **annotations))

# Kinetics-Skeleton 400.
_base_ = '../protocols/paper_kinetics.py'

annotations = dict(
    ann_file='data/skeleton/kinetics_skeleton.pkl',
    num_classes=400,
    ann_source='It is made from the JSON clips that ST-GCN published (https://github.com/yysijie/st-gcn) by: '
    'mmdualhead data kinetics KINETICS_SKELETON data/skeleton/kinetics_skeleton.pkl',
)
train_dataloader = dict(dataset=dict(split='train', **annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='val', **annotations))

# The synthetic data set, cross-subject.
_base_ = '../protocols/quickstart.py'

annotations = dict(
    ann_file='data/skeleton/synthetic.pkl',
    num_classes=12,
    ann_source='It is made by: mmdualhead data synthetic data/skeleton/synthetic.pkl',
)
train_dataloader = dict(dataset=dict(split='xsub_train', **annotations))
val_dataloader = test_dataloader = dict(dataset=dict(split='xsub_val', **annotations))

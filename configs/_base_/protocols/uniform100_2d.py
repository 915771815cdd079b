# uniform100.py for joints in image coordinates, with their scores as the third channel: only MMAction2's
# steps, but SkeletonDataset, which checks the clips before training starts, instead of PoseDataset.
_base_ = 'uniform100.py'


def pipeline(_normalize, form_stream, *others):
    return [dict(type='PreNormalize2D'), dict(form_stream, dataset='coco'), *others]


test_pipeline = pipeline(*_base_.test_pipeline)
train_dataloader = dict(
    dataset=dict(type='SkeletonDataset', pipeline=pipeline(*_base_.train_dataloader.dataset.pipeline))
)
val_dataloader = dict(
    dataset=dict(type='SkeletonDataset', pipeline=pipeline(*_base_.val_dataloader.dataset.pipeline))
)
test_dataloader = dict(dataset=dict(type='SkeletonDataset', pipeline=test_pipeline))

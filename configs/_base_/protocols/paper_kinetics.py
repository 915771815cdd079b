# The paper's protocol on Kinetics-Skeleton, whose clips have 300 frames of OpenPose joints (x, y, score).
_base_ = 'loaders.py'

test_pipeline = [
    dict(type='PadTo', length=300),
    dict(type='GenSkeFeat', dataset='openpose', feats=['j']),
    dict(type='PoseDecode'),
    *_base_.format_steps,
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader = dict(batch_size=128, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
)
# The milestones are our reading; the paper states 80 epochs.
param_scheduler = [dict(type='ShareMultiStepLR', shares=dict(milestones=[50 / 80, 70 / 80]), gamma=0.1)]
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(enable=False, base_batch_size=128)

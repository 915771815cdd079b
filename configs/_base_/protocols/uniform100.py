# The protocol of MMAction2's own skeleton configs: 100 frames sampled uniformly, cosine schedule, 10 clips a
# test. They repeat the data five times in each of 16 epochs; here 80 epochs say the same.
_base_ = 'loaders.py'

train_pipeline = [
    dict(type='NormalizeSkeleton3D'),
    dict(type='SkeletonStream'),
    dict(type='UniformSampleClips', clip_len=100),
    *_base_.format_steps,
]
val_pipeline = [
    dict(type='NormalizeSkeleton3D'),
    dict(type='SkeletonStream'),
    dict(type='UniformSampleClips', clip_len=100, test_mode=True),
    *_base_.format_steps,
]
test_pipeline = [
    dict(type='NormalizeSkeleton3D'),
    dict(type='SkeletonStream'),
    dict(type='UniformSampleClips', clip_len=100, num_clips=10, test_mode=True),
    *_base_.format_steps,
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=128, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, T_max=80, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(enable=False, base_batch_size=128)

# For the synthetic data set: 24 frames sampled uniformly, one clip per test.
_base_ = 'loaders.py'


# NormalizeSkeleton3D and UniformSampleClips: see uniform100_fast.py.
def pipeline(**sampling):
    return [
        dict(type='NormalizeSkeleton3D'),
        dict(type='GenSkeFeat', dataset='nturgb+d', feats=['j']),
        dict(type='UniformSampleClips', clip_len=24, **sampling),
        *_base_.format_steps,
    ]


test_pipeline = pipeline(test_mode=True)
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=pipeline()), **workers)
val_dataloader = test_dataloader = dict(batch_size=48, dataset=dict(pipeline=test_pipeline), **workers)

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
# T_max defaults to max_epochs.
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=8, val_interval=4)
auto_scale_lr = dict(enable=False, base_batch_size=16)
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=15))

# For data sets of hundreds of clips and one person, joints of the first Kinect: 48 frames sampled uniformly,
# augmentation, warm-up and cosine schedule, 10 clips per test.
_base_ = 'loaders.py'


# MMAction2's steps do not support this layout or the choice among several persons. UniformSampleClips: see
# uniform100_fast.py.
def pipeline(augment=(), **sampling):
    return [
        dict(type='NormalizeSkeleton3D', layout='kinect_v1'),
        *augment,
        dict(type='SkeletonStream', layout='kinect_v1', stream='j'),
        dict(type='UniformSampleClips', clip_len=48, **sampling),
        dict(type='FormatSkeletonInput', num_person=1),
        _base_.format_steps[-1],
    ]


augment = [dict(type='RandomRotate3D', amount=0.3), dict(type='RandomScale', amount=0.2)]
test_pipeline = pipeline(num_clips=10, test_mode=True)
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=pipeline(augment)))
val_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=pipeline(test_mode=True)))
test_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
schedule = dict(by_epoch=True, convert_to_iter_based=True)
param_scheduler = [
    dict(type='ShareLinearLR', start_factor=0.1, shares=dict(end=3 / 40), **schedule),
    dict(type='ShareCosineAnnealingLR', eta_min=0, shares=dict(begin=3 / 40), **schedule),
]
train_cfg = dict(max_epochs=40, val_interval=5)
auto_scale_lr = dict(enable=False, base_batch_size=16)

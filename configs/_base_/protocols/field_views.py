# The recipe of CTR-GCN's authors for NW-UCLA, which later papers share: clips rotated by up to 60 degrees
# about x and y of the camera, each coordinate stretched to -1..1, which also centers them, 52 random frames
# in order; five passes an epoch. The test sees 52 equally spaced frames once. Papers report the best epoch on
# the test view: every epoch is tested, and tools/read_runs.py shows the best one beside the last.
_base_ = 'loaders.py'


def pipeline(*augment, **sampling):
    return [
        *augment,
        dict(type='StretchSkeleton'),
        dict(type='SortedSampleFrames', length=52, **sampling),
        dict(type='SkeletonStream', layout='kinect_v1', stream='j'),
        dict(type='FormatSkeletonInput', num_person=1),
        _base_.format_steps[-1],
    ]


rotate = dict(type='RandomRotate3D', amount=(1.0472, 1.0472, 0.0))
test_pipeline = pipeline(test_mode=True)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        type='RepeatDataset',
        times=5,
        dataset=dict(type='SkeletonDataset', pipeline=pipeline(rotate)),
    ),
)
val_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True))
# As shares of 65 epochs: 5 of warm-up, a tenth of the learning rate after 50.
param_scheduler = [
    dict(type='ShareLinearLR', start_factor=0.2, shares=dict(end=5 / 65)),
    dict(type='ShareMultiStepLR', gamma=0.1, shares=dict(milestones=[50 / 65])),
]
train_cfg = dict(max_epochs=65, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=16)

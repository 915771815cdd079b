# For data sets of hundreds of clips and one person, joints of the first Kinect: 48 frames sampled uniformly,
# augmentation, warm-up and cosine schedule, 10 clips a test.
_base_ = 'loaders.py'

normalize = dict(type='NormalizeSkeleton3D', layout='kinect_v1')
form_stream = dict(type='SkeletonStream', layout='kinect_v1')
format_steps = [
    dict(type='FormatSkeletonInput', num_person=1),
    dict(type='PackActionInputs', meta_keys=('frame_dir',)),
]
train_pipeline = [
    normalize,
    dict(type='RandomRotate3D', amount=0.3),
    dict(type='RandomScale', amount=0.2),
    form_stream,
    dict(type='UniformSampleClips', clip_len=48),
    *format_steps,
]
val_pipeline = [
    normalize,
    form_stream,
    dict(type='UniformSampleClips', clip_len=48, test_mode=True),
    *format_steps,
]
test_pipeline = [
    normalize,
    form_stream,
    dict(type='UniformSampleClips', clip_len=48, num_clips=10, test_mode=True),
    *format_steps,
]
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=3, by_epoch=True, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        begin=3,
        T_max=37,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=40, val_interval=5)
auto_scale_lr = dict(enable=False, base_batch_size=16)

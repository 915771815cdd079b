# MMAction2's protocol for its own skeleton configs, with only its data set and steps: 100 frames sampled
# uniformly, cosine schedule, 10 samples per clip in tests. Its numbers as well, with three exceptions: one
# device has batches of 128 instead of eight with 16; 80 epochs replace 16 that repeat the data five times;
# tests have batches of 16. uniform100_fast.py makes the same batches in a fifth of the time; unlike
# PoseDataset, its SkeletonDataset checks the clips and runs no code from a pickle.
_base_ = '../default_runtime.py'


def pipeline(**sampling):
    return [
        dict(type='PreNormalize3D'),
        dict(type='GenSkeFeat', dataset='nturgb+d', feats=['j']),
        dict(type='UniformSampleFrames', clip_len=100, **sampling),
        dict(type='PoseDecode'),
        dict(type='FormatGCNInput', num_person=2),
        # Hooks and metrics need the clips' names.
        dict(type='PackActionInputs', meta_keys=('frame_dir',)),
    ]


test_pipeline = pipeline(num_clips=10, test_mode=True)
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='PoseDataset', pipeline=pipeline()),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PoseDataset', pipeline=pipeline(num_clips=1, test_mode=True), test_mode=True),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PoseDataset', pipeline=test_pipeline, test_mode=True),
)

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
)
# T_max defaults to max_epochs.
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(enable=False, base_batch_size=128)

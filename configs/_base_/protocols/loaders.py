# Loaders without data: benchmarks add the annotation file and its splits, protocols the pipelines.
_base_ = '../default_runtime.py'

# SkeletonDataset is MMAction2's PoseDataset that checks its clips before training starts and reads stores.
train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='SkeletonDataset'),
)
val_dataloader = test_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SkeletonDataset', test_mode=True),
)

# How pipelines end for two persons; a protocol may end differently. Hooks and metrics need the clips' names.
format_steps = [
    dict(type='FormatGCNInput', num_person=2),
    dict(type='PackActionInputs', meta_keys=('frame_dir',)),
]

# Loaders without data: benchmarks add the annotation file and its splits, protocols the pipelines.
_base_ = '../default_runtime.py'

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='SkeletonDataset', stream='j'),
)
val_dataloader = test_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SkeletonDataset', stream='j', test_mode=True),
)

# How pipelines end for two persons; a protocol may end its own way.
format_steps = [
    dict(type='FormatSkeletonInput', num_person=2),
    dict(type='PackActionInputs', meta_keys=('frame_dir',)),
]

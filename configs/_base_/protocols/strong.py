# Improvements found since the paper: rotation and scale augmentation and a longer schedule, beside uniform
# sampling and 10-clip tests (uniform100.py). Fuse its streams 2:2:1:1. Not yet measured on NTU RGB+D.
_base_ = 'uniform100_fast.py'


# Joints are rotated and scaled before streams are formed from them.
def augmented(normalize, *others):
    return [
        normalize,
        dict(type='RandomRotate3D', amount=0.3),
        dict(type='RandomScale', amount=0.2),
        *others,
    ]


train_dataloader = dict(dataset=dict(pipeline=augmented(*_base_.train_dataloader.dataset.pipeline)))

train_cfg = dict(max_epochs=120)

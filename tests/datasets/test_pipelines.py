from types import SimpleNamespace

import pytest
from mmaction.datasets.transforms import GenSkeFeat, PreNormalize3D

from mmdualhead.datasets import FormatSkeletonInput, NormalizeSkeleton3D, SkeletonStream
from mmdualhead.datasets.pipelines import pipeline_expectation, step_name, with_stream
from mmdualhead.datasets.transforms.streams import STREAMS
from tests.datasets.clips import PIPELINE

TWO_JOINTS = dict(joints=2, bones=[(1, 0)])


def file(**meta):
    return SimpleNamespace(path='f.pkl', meta=meta)


def config(pipeline, **dataset):
    loader = dict(dataset=dict(pipeline=pipeline, **dataset))
    return dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', **loader)),
        val_dataloader=loader,
        test_dataloader=loader,
        test_pipeline=pipeline,
    )


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        (dict(type='SkeletonStream', stream='j'), dict(stream='b+jm')),
        (dict(type=SkeletonStream, layout='coco', stream='j'), dict(stream='b+jm')),
        (dict(type='mmaction.GenSkeFeat', dataset='coco', feats=['j']), dict(feats=['b', 'jm'])),
    ],
)
def test_with_stream_changes_that_step_everywhere_and_nothing_else(step, said):
    before = dict(step)
    pipeline = [dict(type='PadTo', length=3), step]
    train, val, test, test_pipeline = with_stream(config(pipeline, split='x'), 'b+jm')
    expected = [pipeline[0], before | said]
    assert test_pipeline == expected
    assert val == test == dict(dataset=dict(pipeline=expected))
    assert train == dict(dataset=dict(dataset=dict(pipeline=expected)))
    assert step == before


@pytest.mark.parametrize(
    ('pipeline', 'said'),
    [
        ([dict(type='PadTo', length=3)], 'exactly one.*PadTo'),
        ([dict(type='SkeletonStream', stream='j'), dict(type='GenSkeFeat')], 'exactly one'),
    ],
)
def test_pipelines_that_cannot_form_the_stream(pipeline, said):
    with pytest.raises(ValueError, match=said):
        with_stream(config(pipeline), 'b')


def test_a_stream_unknown_to_mmaction_is_formed_by_our_step(monkeypatch):
    monkeypatch.setitem(STREAMS, 'x', STREAMS['j'])
    before = config([dict(type='GenSkeFeat', dataset='coco', feats=['j'])])
    *_, test_pipeline = with_stream(before, 'x')
    assert test_pipeline == [dict(type='SkeletonStream', layout='coco', stream='x')]


def test_unknown_stream():
    with pytest.raises(ValueError, match="unknown stream 'x'"):
        with_stream(config(PIPELINE), 'x')


def test_expectation_of_the_steps():
    steps = [
        NormalizeSkeleton3D('kinect_v1'),
        SkeletonStream('kinect_v1', stream='j'),
        FormatSkeletonInput(3),
    ]
    expected = pipeline_expectation(steps, file(layout='kinect_v1'))
    assert (expected.num_joints, expected.layout) == (20, 'kinect_v1')
    assert (expected.num_coordinates, expected.num_person) == (3, 3)
    theirs = pipeline_expectation([PreNormalize3D(), GenSkeFeat(dataset='nturgb+d')], file())
    assert (theirs.num_joints, theirs.num_coordinates) == (25, 3)
    assert pipeline_expectation([], file()).num_joints is None
    assert pipeline_expectation([], file(layout='coco')).num_joints == 17


@pytest.mark.parametrize(
    ('steps', 'meta'),
    [
        ([SkeletonStream('coco', stream='j')], dict(layout='nturgb+d')),
        ([GenSkeFeat(dataset='coco')], dict(layout='nturgb+d')),
        ([NormalizeSkeleton3D('nturgb+d'), SkeletonStream('kinect_v1', stream='j')], {}),
        ([SkeletonStream(TWO_JOINTS, stream='j')], dict(layout=dict(joints=2, bones=[(0, 1)]))),
    ],
)
def test_layouts_that_disagree(steps, meta):
    with pytest.raises(ValueError, match='different skeleton layouts'):
        pipeline_expectation(steps, file(**meta))


def test_step_name():
    names = [
        step_name(step) for step in (dict(type='a.B'), dict(type=SkeletonStream), SkeletonStream(stream='j'))
    ]
    assert names == ['B', 'SkeletonStream', 'SkeletonStream']

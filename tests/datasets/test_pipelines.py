from types import SimpleNamespace

import pytest
from mmaction.datasets.transforms import GenSkeFeat, PreNormalize3D

from mmdualhead.datasets import FormatSkeletonInput, NormalizeSkeleton3D, SkeletonStream
from mmdualhead.datasets.pipelines import complete_pipeline, pipeline_expectation, step_name
from tests.datasets.clips import PIPELINE


def file(**meta):
    return SimpleNamespace(path='f.pkl', meta=meta)


@pytest.mark.parametrize(
    ('step', 'key', 'expected'),
    [
        (dict(type='SkeletonStream'), 'stream', 'b+jm'),
        (dict(type='SkeletonStream', stream=None), 'stream', 'b+jm'),
        (dict(type='mmaction.GenSkeFeat', dataset='coco'), 'feats', ['b', 'jm']),
        (dict(type=SkeletonStream), 'stream', 'b+jm'),
    ],
)
def test_completes_a_copy(step, key, expected):
    before = dict(step)
    pipeline = [dict(type='ReplayPad', length=3), step]
    completed = complete_pipeline(pipeline, 'b+jm')
    assert completed[1][key] == expected
    assert step == before
    assert completed[0] == pipeline[0]


@pytest.mark.parametrize(
    ('pipeline', 'said'),
    [
        ([dict(type='ReplayPad', length=3)], 'exactly one.*ReplayPad'),
        ([dict(type='SkeletonStream'), dict(type='GenSkeFeat')], 'exactly one'),
        ([dict(type='SkeletonStream', stream='j')], "stream='b'.*stream='j'.*leave stream out"),
        ([dict(type='GenSkeFeat', feats=['j'])], r"feats=\['j'\]"),
        ([SkeletonStream()], 'exactly one config'),
    ],
)
def test_pipelines_that_cannot_form_the_stream(pipeline, said):
    with pytest.raises(ValueError, match=said):
        complete_pipeline(pipeline, 'b')


def test_joints_need_no_step():
    pipeline = [dict(type='ReplayPad', length=3)]
    assert complete_pipeline(pipeline, 'j') == pipeline


def test_unknown_stream():
    with pytest.raises(ValueError, match="unknown stream 'x'"):
        complete_pipeline(PIPELINE, 'x')


def test_expectation_of_the_steps():
    steps = [NormalizeSkeleton3D('kinect_v1'), SkeletonStream('kinect_v1'), FormatSkeletonInput(3)]
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
        ([SkeletonStream('coco')], dict(layout='nturgb+d')),
        ([GenSkeFeat(dataset='coco')], dict(layout='nturgb+d')),
        ([NormalizeSkeleton3D('nturgb+d'), SkeletonStream('kinect_v1')], {}),
        ([SkeletonStream(dict(joints=2, bones=[(1, 0)]))], dict(layout=dict(joints=2, bones=[(0, 1)]))),
    ],
)
def test_layouts_that_disagree(steps, meta):
    with pytest.raises(ValueError, match='different skeleton layouts'):
        pipeline_expectation(steps, file(**meta))


def test_step_name():
    names = [step_name(step) for step in (dict(type='a.B'), dict(type=SkeletonStream), SkeletonStream())]
    assert names == ['B', 'SkeletonStream', 'SkeletonStream']

import pytest

from mmdualhead.datasets import SkeletonStream
from mmdualhead.datasets.pipelines import with_stream
from mmdualhead.datasets.transforms.streams import STREAMS
from tests.datasets.clips import PIPELINE


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

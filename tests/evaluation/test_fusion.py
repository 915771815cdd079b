from dataclasses import replace

import numpy as np
import pytest

from mmdualhead.evaluation.fusion import fuse, join, parse_weights, to_probabilities
from mmdualhead.evaluation.scores import Scores


def shuffled(scores, seed=1):
    return scores.select(np.random.default_rng(seed).permutation(len(scores.names)))


@pytest.mark.parametrize(
    ('tokens', 'streams', 'weights'),
    [
        (['equal'], 3, (1, 1, 1)),
        (['1:1'], 2, (1, 1)),
        (['2:2:1:1'], 4, (2, 2, 1, 1)),
        (['0.6', '0.4'], 2, (0.6, 0.4)),
        (['1:0:2'], 3, (1, 0, 2)),
    ],
)
def test_weights_by_preset_or_number(tokens, streams, weights):
    assert parse_weights(tokens, streams) == weights


@pytest.mark.parametrize(
    ('tokens', 'message'),
    [
        (['1:1'], '2 weights .* for 4 streams'),
        (['best'], 'expected numbers, a ratio'),
        (['1', '1', '-1', '1'], 'negative'),
        (['0:0:0:0'], 'at least one positive'),
        (['nan:1:1:1'], 'negative'),
    ],
)
def test_impossible_weights_are_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        parse_weights(tokens, streams=4)


def test_fusion_does_not_depend_on_the_order_of_clips(make_scores):
    streams = [make_scores(seed=seed, skill=1.0) for seed in range(3)]
    straight = fuse(join(streams), (2, 1, 1))
    mixed = fuse(join([streams[0], shuffled(streams[1], 1), shuffled(streams[2], 2)]), (2, 1, 1))
    assert mixed.names == straight.names
    np.testing.assert_array_equal(mixed.fused, straight.fused)
    np.testing.assert_array_equal(mixed.labels, straight.labels)


def test_fused_score_is_the_weighted_mean_of_probabilities(make_scores):
    one, two = make_scores(seed=0, dual=True), make_scores(seed=1, dual=True)
    fused = fuse([one, two], (3, 1))
    np.testing.assert_allclose(fused.fused, (3 * one.fused + two.fused) / 4)
    np.testing.assert_allclose(fused.heads['fine'], (3 * one.heads['fine'] + two.heads['fine']) / 4)
    np.testing.assert_allclose(fused.fused.sum(axis=1), 1)


def test_heads_are_fused_only_where_every_stream_has_them(make_scores):
    assert list(fuse([make_scores(dual=True), make_scores()], (1, 1)).heads) == ['fused']


def test_missing_clips_are_named_with_the_file_that_lacks_them(make_scores):
    whole = make_scores(source='joint.npz')
    part = make_scores(source='bone.npz').select(range(2, 60))
    message = r'bone\.npz lacks clips of joint\.npz, 2 clips: clip000, clip001'
    with pytest.raises(ValueError, match=message):
        join([whole, part])
    with pytest.raises(ValueError, match=message):
        join([part, whole])


def test_doubled_clips_are_named(make_scores):
    doubled = make_scores(source='bone.npz').select([0, 1, 2, 2])
    with pytest.raises(ValueError, match=r'bone\.npz has a clip more than once: 1 clip: clip002'):
        join([make_scores(), doubled])


def test_differing_labels_are_named(make_scores):
    one, two = make_scores(source='joint.npz'), make_scores(source='bone.npz')
    labels = two.labels.copy()
    labels[3] = 5
    with pytest.raises(
        ValueError, match=r'joint\.npz and bone\.npz give different labels .* clip003 \(3, 5\)'
    ):
        join([one, shuffled(replace(two, labels=labels))])


def test_differing_classes_are_refused(make_scores):
    with pytest.raises(ValueError, match=r'5 classes, .* has 6'):
        join([make_scores(), make_scores(classes=5)])


def test_labels_come_from_any_stream_that_has_them(make_scores):
    labeled = shuffled(make_scores())
    bare = Scores(source='bare', names=labeled.names, heads=labeled.heads)
    joined = join([bare, make_scores()])
    assert joined[0].names == bare.names
    assert joined[0].labels.tolist() == [int(name.removeprefix('clip')) % 6 for name in bare.names]
    with pytest.raises(ValueError, match='no labels in'):
        join([bare, bare])


def test_logits_become_softmax_and_sums_of_clips_are_normalized(make_scores):
    probabilities = make_scores()
    logits = replace(probabilities, heads={'fused': np.log(probabilities.fused) + 3})
    summed = replace(probabilities, heads={'fused': probabilities.fused * 10})
    half = replace(probabilities, heads={'fused': probabilities.fused.astype(np.float16)})
    for scores, kind in ((probabilities, 'as they are'), (logits, 'softmax'), (summed, 'normalized')):
        result, done = to_probabilities(scores)
        assert done == kind
        np.testing.assert_allclose(result.fused, probabilities.fused, rtol=1e-6)
    assert to_probabilities(half)[1] == 'as they are'


def rows(make_scores, *values):
    return replace(make_scores(clips=len(values), classes=2), heads={'fused': np.array(values, np.float64)})


@pytest.mark.parametrize(
    ('values', 'kind'),
    [
        ([[0, 1], [1, 0]], 'as they are'),  # a model that is sure
        ([[0.5, 0.515], [0.5, 0.5]], 'as they are'),  # sums of 1 within 2%
        ([[0.5, 0.53], [0.5, 0.53]], 'normalized'),  # a common sum, but not 1
        ([[5, 5.1], [5, 5]], 'normalized'),
        ([[5, 5.3], [5, 5]], 'softmax'),  # no common sum
        ([[1.5, -0.5], [0.5, 0.5]], 'softmax'),  # sums of 1, but negative
    ],
)
def test_what_scores_are_taken_for(make_scores, values, kind):
    assert to_probabilities(rows(make_scores, *values))[1] == kind


@pytest.mark.fault('fusion of probabilities that were rounded', '-', 'as before, not through a softmax')
def test_rounded_probabilities_are_probabilities(make_scores):
    exact = make_scores(classes=40)
    rounded, kind = to_probabilities(replace(exact, heads={'fused': exact.fused.round(2)}))
    assert kind == 'normalized'
    np.testing.assert_allclose(rounded.fused, exact.fused, atol=0.15)
    np.testing.assert_allclose(rounded.fused.sum(1), 1)


def test_softmax_of_large_logits_is_finite(make_scores):
    probabilities, _ = to_probabilities(rows(make_scores, [1000, 1001], [-5000, 0]))
    expected = 1 / (1 + np.e)
    np.testing.assert_allclose(probabilities.fused, [[expected, 1 - expected], [0, 1]], atol=1e-12)

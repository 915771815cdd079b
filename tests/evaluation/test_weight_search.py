import numpy as np
import pytest

from mmdualhead.evaluation.fusion import fuse
from mmdualhead.evaluation.weight_search import hold_out, search_weights


def top1(scores):
    return np.mean(scores.fused.argmax(axis=1) == scores.labels)


def test_parts_are_disjoint_whole_and_even_over_classes(make_scores):
    scores = make_scores(clips=120)
    held, rest = hold_out(scores, '0.3')
    assert sorted([*held, *rest]) == list(range(120))
    assert np.bincount(scores.labels[held]).tolist() == [6] * 6


def test_parts_follow_names_not_order(make_scores):
    scores = make_scores(clips=120)
    other = scores.select(np.random.default_rng(0).permutation(120))
    names = [set(s.select(hold_out(s, '0.3')[0]).names) for s in (scores, other)]
    assert names[0] == names[1]
    assert names[0] != set(scores.select(hold_out(scores, '0.3', seed=1)[0]).names)


def test_named_clips_are_held_out(make_scores, tmp_path):
    scores, file = make_scores(clips=4), tmp_path / 'names.txt'

    def held_out(*names):
        file.write_text('\n'.join(names))
        return [rows.tolist() for rows in hold_out(scores, str(file))]

    assert held_out('clip002', '', ' clip000 ', 'clip002') == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match='held-out clips that are not in model, 1 clip: nobody'):
        held_out('nobody')
    for names in ((), scores.names):
        with pytest.raises(ValueError, match=f'{len(names)} of 4 clips are held out: one part is empty'):
            held_out(*names)


@pytest.mark.parametrize('fraction', ['0', '1', '1.5', '-0.1', 'nan'])
def test_fraction_must_leave_two_parts(make_scores, fraction):
    with pytest.raises(ValueError, match='between 0 and 1'):
        hold_out(make_scores(), fraction)
    with pytest.raises(ValueError, match='0 of 60 clips are held out: one part is empty'):
        hold_out(make_scores(), '0.01')


def test_found_weights_are_the_best_of_the_grid(make_scores):
    streams = [make_scores(seed=0, skill=1.5, clips=300), make_scores(seed=1, skill=0.5, clips=300)]
    best = top1(fuse(streams, search_weights(streams)))
    assert best == max(top1(fuse(streams, (w, 10 - w))) for w in range(11))


def test_useless_stream_gets_less_and_ties_go_to_equal_weights(make_scores):
    good, noise = make_scores(seed=0, skill=2.5, clips=300), make_scores(seed=1, skill=0.0, clips=300)
    weights = search_weights([good, noise])
    assert weights[0] > weights[1]
    assert search_weights([good, good]) == (0.5, 0.5)


def test_a_stream_that_is_rather_wrong_gets_nothing_never_less(make_scores):
    assert search_weights([make_scores(skill=0.5), make_scores(seed=1, skill=-2.0)]) == (1.0, 0.0)


def test_many_streams_stay_searchable_and_may_weigh_alike(make_scores):
    assert search_weights([make_scores(clips=12)] * 9) == (1 / 9,) * 9


@pytest.mark.parametrize(('count', 'steps'), [(6, 10), (7, 8)])
def test_many_streams_are_searched_in_coarser_steps(make_scores, count, steps):
    """10 steps of 6 streams and 8 of 7 are 3003 combinations each, the most that are tried."""
    weights = search_weights([make_scores(seed=seed, clips=12, skill=0.3) for seed in range(count)])
    assert sum(weights) == pytest.approx(1)
    assert np.allclose(np.array(weights) * steps, np.round(np.array(weights) * steps))
    assert not np.allclose(np.array(weights) * (steps - 1), np.round(np.array(weights) * (steps - 1)))

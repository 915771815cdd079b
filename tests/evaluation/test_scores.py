import pickle

import numpy as np
import pytest

from mmdualhead.errors import UserError
from mmdualhead.evaluation.scores import LabeledScores, Scores, load_scores, save_scores


@pytest.mark.parametrize('dual', [False, True])
def test_save_and_load_round_trip(make_scores, tmp_path, dual):
    scores = make_scores(dual=dual)
    save_scores(scores, tmp_path / 'new' / 'scores.npz')
    loaded = load_scores(tmp_path / 'new' / 'scores.npz')
    assert loaded.names == scores.names
    assert list(loaded.heads) == (['fused', 'coarse', 'fine'] if dual else ['fused'])
    for head, values in scores.heads.items():
        np.testing.assert_array_equal(loaded.heads[head], values)
    np.testing.assert_array_equal(loaded.labels, scores.labels)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['scores.npz']


def test_select_keeps_clip_label_and_scores_together(make_scores):
    scores = make_scores(dual=True)
    some = scores.select([5, 2])
    assert some.names == ('clip005', 'clip002')
    np.testing.assert_array_equal(some.heads['fine'], scores.heads['fine'][[5, 2]])
    np.testing.assert_array_equal(some.labels, scores.labels[[5, 2]])


def test_non_finite_scores_name_file_head_and_clips(make_scores):
    good = make_scores(dual=True)
    fine = good.heads['fine'].copy()
    fine[[3, 7], 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r's\.npz: NaN or infinite fine .* 2 clips: clip003, clip007'):
        LabeledScores(
            source='s.npz', names=good.names, labels=good.labels, heads={**good.heads, 'fine': fine}
        )


@pytest.mark.parametrize('label', [-100, 6])
def test_label_outside_the_classes_names_the_clip(make_scores, label):
    good = make_scores()
    labels = good.labels.copy()
    labels[4] = label
    with pytest.raises(ValueError, match=rf'labels outside 0\.\.5 for 1 clip: clip004 \(label {label}\)'):
        LabeledScores(source='x', names=good.names, labels=labels, heads=good.heads)


def test_length_mismatches_are_refused(make_scores):
    good = make_scores()
    with pytest.raises(ValueError, match=r'one row for each of 59 clips'):
        LabeledScores(source='x', names=good.names[1:], labels=good.labels[1:], heads=good.heads)
    with pytest.raises(ValueError, match='59 labels for 60 clips'):
        LabeledScores(source='x', names=good.names, labels=good.labels[1:], heads=good.heads)
    with pytest.raises(ValueError, match='coarse scores have shape'):
        LabeledScores(
            source='x',
            names=good.names,
            labels=good.labels,
            heads={**good.heads, 'coarse': good.fused[:, 1:]},
        )


def test_loading_refuses_what_is_no_score_file(tmp_path):
    (tmp_path / 'empty.npz').write_bytes(b'')
    (tmp_path / 'pickle.npz').write_bytes(pickle.dumps({'fused': [1]}))
    np.savez(tmp_path / 'other.npz', fused=np.ones((1, 2)))
    np.savez(tmp_path / 'object.npz', names=np.array([{}]), labels=[0], fused=np.ones((1, 2)))
    for name in ('empty', 'pickle', 'object'):
        with pytest.raises(ValueError, match=rf'{name}\.npz is not a readable'):
            load_scores(tmp_path / f'{name}.npz')
    with pytest.raises(ValueError, match=r"other\.npz lacks the arrays \['labels', 'names'\]"):
        load_scores(tmp_path / 'other.npz')
    with pytest.raises(FileNotFoundError):
        load_scores(tmp_path / 'none.npz')


@pytest.mark.parametrize('kind', [str, bool])
def test_scores_are_numbers(kind):
    with pytest.raises(UserError, match=r'fused scores are .*, expected numbers'):
        Scores(source='x.npz', names=('a', 'b'), heads={'fused': np.ones((2, 3)).astype(kind)})

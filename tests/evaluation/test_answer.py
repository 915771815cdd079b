import pickle

import numpy as np
import pytest

from mmdualhead.evaluation.answer import scored_answers
from mmdualhead.evaluation.scores import FUSED, LabeledScores, save_scores


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    clips = [
        dict(frame_dir=f'c{i}', label=i % 3, total_frames=4, keypoint=rng.normal(size=(1, 4, 25, 3)))
        for i in range(6)
    ]
    content = dict(
        split=dict(val=[clip['frame_dir'] for clip in clips]),
        annotations=clips,
        meta=dict(layout='nturgb+d', classes=['a', 'b', 'c']),
    )
    (tmp_path / 'clips.pkl').write_bytes(pickle.dumps(content))
    order = [3, 1, 5, 0, 2, 4]
    logits = rng.normal(size=(6, 3)) * 5
    scores = LabeledScores(
        source='test',
        names=tuple(f'c{i}' for i in order),
        labels=np.array([i % 3 for i in order]),
        heads={FUSED: logits[order], 'one': logits[order]},
    )
    save_scores(scores, tmp_path / 'scores.npz')
    return tmp_path, logits


def test_scores_meet_their_clips_by_name(files):
    folder, logits = files
    answers = scored_answers(folder / 'scores.npz', folder / 'clips.pkl', 'val', every=2)
    assert [answer.name for answer in answers] == ['c0', 'c2', 'c4']
    assert [answer.label for answer in answers] == logits[::2].argmax(1).tolist()
    assert [answer.true_label for answer in answers] == [0, 2, 1]
    assert [answer.scores[FUSED].sum() for answer in answers] == pytest.approx([1, 1, 1])
    assert answers[0].when is None


def test_clips_may_be_named_by_their_files(files):
    folder, logits = files
    content = pickle.loads((folder / 'clips.pkl').read_bytes())
    for clip in content['annotations']:
        clip['filename'] = clip.pop('frame_dir')
    (folder / 'clips.pkl').write_bytes(pickle.dumps(content))
    answers = scored_answers(folder / 'scores.npz', folder / 'clips.pkl', 'val')
    assert [answer.label for answer in answers] == logits.argmax(1).tolist()


@pytest.mark.fault('two clips of one name in scores and annotations', '-', 'refused')
def test_clips_of_one_name_are_refused(files):
    folder, _ = files
    content = pickle.loads((folder / 'clips.pkl').read_bytes())
    for clip in content['annotations'][:2]:
        clip['frame_dir'] = 'same'
    (folder / 'clips.pkl').write_bytes(pickle.dumps(content['annotations']))
    names = ('same', 'same', *(f'c{i}' for i in range(2, 6)))
    scores = LabeledScores(source='x', names=names, labels=np.arange(6) % 3, heads={FUSED: np.eye(6, 3)})
    save_scores(scores, folder / 'scores.npz')
    with pytest.raises(ValueError, match='has a clip more than once: 1 clip: same'):
        scored_answers(folder / 'scores.npz', folder / 'clips.pkl', None)


def test_scores_of_other_clips_are_refused(files, tmp_path):
    folder, _ = files
    other = LabeledScores(source='x', names=('z',), labels=np.array([0]), heads={FUSED: np.ones((1, 3)) / 3})
    save_scores(other, tmp_path / 'other.npz')
    with pytest.raises(ValueError, match='z'):
        scored_answers(tmp_path / 'other.npz', folder / 'clips.pkl', 'val')

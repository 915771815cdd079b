import pickle
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmaction.datasets import PoseDataset

from mmdualhead.datasets import load_annotations
from mmdualhead.datasets.converters import write_pickle
from mmdualhead.datasets.synthetic import dataset as synthetic
from mmdualhead.datasets.synthetic.actions import ACTIONS
from mmdualhead.datasets.synthetic.kinematics import SEGMENTS
from mmdualhead.datasets.transforms.normalize import normalize_clip
from mmdualhead.skeletons import NTU

TOOL = Path(__file__).parents[3] / 'tools' / 'data' / 'synthetic.py'
HAND_TIPS = [
    (389, -3574, 31093),
    (962, -6487, 24447),
    (1727, 7683, 38860),
    (-5412, 7611, 33181),
    (8807, -2666, 38550),
    (0, 0, 0),
    (5106, 497, 32321),
    (2153, 4993, 33129),
    (2717, 751, 24502),
    (5224, 1911, 27952),
    (6988, 4021, 22888),
    (5053, 3451, 31066),
]
LENGTHS = [51, 43, 41, 53, 48, 35, 48, 33]
J = {name: index for index, name in enumerate(NTU.joints)}


@pytest.fixture(scope='module')
def dataset():
    return synthetic.generate()


@pytest.fixture(scope='module')
def small():
    return synthetic.generate(subjects=4, repetitions=1)


def clips_of(dataset, name):
    return [a for a in dataset['annotations'] if synthetic.CLASSES[a['label']] == name]


def seen(person):
    """The frames in which a person was not lost."""
    return person[person.any(axis=(1, 2))]


def test_clips_are_the_same_in_every_run_and_on_every_machine(dataset, small):
    """Where the right hand's tip was in mid-clip, as drawn on the machine of the first release, in 0.1 mm."""
    again = synthetic.generate(subjects=4, repetitions=1)
    np.testing.assert_equal(again, small)
    for label, expected in enumerate(HAND_TIPS):
        clip = next(a for a in dataset['annotations'] if a['label'] == label)
        found = clip['keypoint'][-1, clip['total_frames'] // 2, J['right hand tip']]
        np.testing.assert_allclose(1e4 * found, expected, atol=1.5)
    assert [a['total_frames'] for a in dataset['annotations'][::200]] == LENGTHS


def test_a_larger_set_begins_with_the_clips_of_a_smaller_one(small, dataset):
    larger = {a['frame_dir']: a['keypoint'] for a in dataset['annotations']}
    single = [a for a in small['annotations'] if len(a['keypoint']) == 1]
    assert all(np.array_equal(a['keypoint'], larger[a['frame_dir']]) for a in single)


def test_another_seed_gives_other_clips_and_the_same_splits(small):
    other = synthetic.generate(subjects=4, repetitions=1, seed=1)
    assert other['split'] == small['split']
    assert not np.array_equal(other['annotations'][0]['keypoint'], small['annotations'][0]['keypoint'])


def test_annotations_are_those_of_pose_dataset(small, tmp_path):
    path = tmp_path / 'new' / 'synthetic.pkl'
    write_pickle(path, small)
    assert [p.name for p in path.parent.iterdir()] == ['synthetic.pkl']
    data = PoseDataset(str(path), pipeline=[], split='xview_val')
    assert len(data) == len(small['split']['xview_val'])
    plain, safe = pickle.loads(path.read_bytes()), load_annotations(path)
    for written, ours, theirs in zip(
        small['annotations'], safe['annotations'], plain['annotations'], strict=True
    ):
        assert set(written) == {'frame_dir', 'label', 'total_frames', 'keypoint'}
        assert written['keypoint'].dtype == np.float32
        assert written['keypoint'].shape[1:] == (written['total_frames'], 25, 3)
        for field in written:
            np.testing.assert_array_equal(written[field], ours[field])
            np.testing.assert_array_equal(written[field], theirs[field])


def test_splits_divide_subjects_and_cameras(dataset):
    names = [a['frame_dir'] for a in dataset['annotations']]
    assert len(set(names)) == len(names)
    numbers = {name: [int(n) for n in re.findall(r'\d+', name)] for name in names}
    for protocol, position, train in (('xsub', 2, set(range(1, 21, 2))), ('xview', 1, {2, 3})):
        sides = [dataset['split'][f'{protocol}_{side}'] for side in ('train', 'val')]
        assert sorted(sides[0] + sides[1]) == sorted(names)
        assert {numbers[name][position] for name in sides[0]} == train
        assert not {numbers[name][position] for name in sides[1]} & train
    assert all(numbers[a['frame_dir']][4] == a['label'] + 1 for a in dataset['annotations'])


def test_bones_are_constant_within_a_clip_up_to_noise_and_differ_between_subjects(dataset):
    lengths = []
    for annotation in clips_of(dataset, 'sit down'):
        person = seen(annotation['keypoint'][0])
        lengths.append(
            [np.linalg.norm(person[:, s.joint] - person[:, s.parent], axis=-1) for s in SEGMENTS.values()]
        )
        assert max(np.std(length) for length in lengths[-1]) < 0.04
    thigh = list(SEGMENTS).index('left thigh')
    assert np.std([np.mean(length[thigh]) for length in lengths]) > 0.015


def test_persons_stand_before_the_camera(dataset):
    for annotation in dataset['annotations']:
        for person in annotation['keypoint']:
            x, _, z = seen(person).reshape(-1, 3).T
            assert z.min() > 0.5
            assert z.max() < 7
            assert np.abs(x).max() < 5
            assert np.median(person[:, J['head'], 1] - person[:, J['left foot'], 1]) > 0.7


def test_some_frames_are_lost_but_never_most_of_a_clip(dataset):
    lost = np.array(
        [1 - person.any(axis=(1, 2)).mean() for a in dataset['annotations'] for person in a['keypoint']]
    )
    assert 0.1 < np.mean(lost > 0) < 0.2
    assert lost.max() < 0.2


def test_two_persons_walk_forward_towards_each_other_or_apart(small):
    for name, nearer in (('walk towards each other', True), ('walk apart', False)):
        for annotation in clips_of(small, name):
            persons = annotation['keypoint']
            both = persons[:, persons.any(axis=(2, 3)).all(axis=0)]
            distance = np.linalg.norm(both[0, :, 0] - both[1, :, 0], axis=-1)
            assert abs(distance[-1] - distance[0]) > 0.3
            assert bool(distance[-1] < distance[0]) is nearer
            for person in both:
                walked = person[-1, 0] - person[0, 0]
                toes = (
                    person[:, [J['left foot'], J['right foot']]]
                    - person[:, [J['left ankle'], J['right ankle']]]
                )
                assert walked @ toes.mean(axis=(0, 1)) > 0


def test_sitting_down_lowers_the_head_and_standing_up_lifts_it(small):
    for name, sign in (('sit down', -1), ('stand up', 1)):
        for annotation in clips_of(small, name):
            head = seen(annotation['keypoint'][0])[:, J['head'], 1]
            assert sign * (head[-1] - head[0]) > 0.2


@pytest.mark.parametrize('label', range(6, 12))
def test_half_of_the_classes_move_one_hand_or_foot_fast_and_little_else(label):
    subject = synthetic.Subject.draw(np.random.RandomState(1))
    moving = ACTIONS[label].swings[0].segment
    speeds = []
    for action in (ACTIONS[label], ACTIONS[6 if label > 9 else 11]):
        positions = synthetic.perform(action, subject, 60, np.random.RandomState(0))
        bones = {name: positions[:, s.joint] - positions[:, s.parent] for name, s in SEGMENTS.items()}
        speeds.append({name: np.linalg.norm(np.diff(b, axis=0), axis=-1).mean() for name, b in bones.items()})
    acting, other = speeds
    side = {'right': 'left', 'left': 'right'}[moving.split()[0]] if subject.left_handed else moving.split()[0]
    moving = f'{side} {moving.split()[1]}'
    assert acting[moving] > 4 * other[moving]
    assert acting['spine'] < 0.01


def mean_poses(dataset, split):
    """The mean over time of the normalized poses of both persons, (N, 2 * V * 3), and the labels."""
    annotations = {a['frame_dir']: a for a in dataset['annotations']}
    features, labels = [], []
    for name in dataset['split'][split]:
        keypoint = normalize_clip(annotations[name]['keypoint'], NTU).keypoint
        feature = np.zeros((2, NTU.num_joints, 3))
        feature[: len(keypoint)] = keypoint.mean(axis=1)
        features.append(feature.ravel())
        labels.append(annotations[name]['label'])
    return np.array(features), np.array(labels)


@pytest.mark.parametrize('protocol', ['xsub', 'xview'])
def test_a_linear_classifier_of_mean_poses_stays_under_60_percent(dataset, protocol):
    (x, y), (x_val, y_val) = (mean_poses(dataset, f'{protocol}_{side}') for side in ('train', 'val'))
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-3
    a, a_val = (np.c_[(data - mean) / std, np.ones(len(data))] for data in (x, x_val))
    for ridge in (0.1, 1.0, 10.0, 100.0):
        weights = np.linalg.solve(a.T @ a + ridge * np.eye(a.shape[1]), a.T @ np.eye(12)[y])
        accuracy = np.mean((a_val @ weights).argmax(axis=1) == y_val)
        assert 0.3 < accuracy < 0.6


@pytest.mark.parametrize('arguments', [dict(subjects=1), dict(repetitions=0)])
def test_an_empty_split_is_refused(arguments):
    with pytest.raises(ValueError, match='need subjects >= 2 and repetitions >= 1'):
        synthetic.generate(**arguments)


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_the_tool_writes_the_file_and_says_what_it_holds(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'synthetic.pkl'
    run_tool(monkeypatch, out, '--subjects', 4, '--repetitions', 1)
    np.testing.assert_equal(load_annotations(out), small)
    assert '144 clips of 12 actions' in capsys.readouterr().out


def test_the_tool_ends_with_one_sentence_on_a_wrong_argument(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r'error: need subjects >= 2 .* got 1 and 2'):
        run_tool(monkeypatch, tmp_path / 'synthetic.pkl', '--subjects', 1)
    assert not list(tmp_path.iterdir())

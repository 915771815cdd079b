"""An answer for each person and each pair of a recording."""

from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.persons import each_person
from mmdualhead.datasets.recording import Recording
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.skeletons import COCO, KINECT_V1
from tests.apis.trained import save_trained, small_config


@pytest.fixture
def three(recording):
    """(4, 30, 20, 3): a person seen throughout, nobody, one near him in the middle, one far away."""
    keypoint = np.zeros((4, 30, 20, 3), np.float32)
    keypoint[0] = recording(30, seed=0)
    keypoint[2, 10:25] = recording(15, seed=1) + np.float32([0.5, 0, 0])
    keypoint[2, 14] = 0
    keypoint[3] = recording(30, seed=2) + np.float32([5, 0, 0])
    return keypoint


def test_a_persons_answer_is_that_of_the_person_alone(inferencer, three):
    answers = inferencer(three, per_person=True, batch_size=2)['predictions']
    assert [answer.persons for answer in answers] == [(0,), (2,), (3,)]
    assert [answer.first_frame for answer in answers] == [0, 10, 0]
    alone = inferencer([three[0], three[2, 10:25], three[3]])['predictions']
    for answer, expected in zip(answers, alone, strict=True):
        np.testing.assert_allclose(answer.scores[FUSED], expected.scores[FUSED], atol=1e-6)
        np.testing.assert_array_equal(answer.keypoint, expected.keypoint)
    assert [answer.to_dict()['persons'] for answer in answers] == [[0], [2], [3]]


def test_ids_are_those_of_the_recording(inferencer, three):
    recording = Recording(name='x', keypoint=three, ids=(7, 'nobody', 'Ada', np.int64(9)))
    answers = inferencer(recording, per_person=True)['predictions']
    assert [answer.title for answer in answers] == ['x, person 7', 'x, person Ada', 'x, person 9']
    assert [answer.to_dict()['persons'] for answer in answers] == [[7], ['Ada'], [9]]


@pytest.fixture(scope='module')
def in_pixels(tmp_path_factory):
    path = tmp_path_factory.mktemp('pixels') / 'x.pth'
    return SkeletonInferencer(
        save_trained(path, small_config('dualhead_ntu60_xsub_2d_j'), passes=2), device='cpu'
    )


def test_pairs_in_pixels_with_scores(in_pixels):
    rng = np.random.default_rng(0)
    keypoint = rng.uniform(100, 200, (3, 20, 17, 2)).astype(np.float32)
    keypoint[2] += 200
    score = rng.uniform(0.5, 1, (3, 20, 17)).astype(np.float32)
    recording = Recording(name='x', keypoint=keypoint, keypoint_score=score, img_shape=(480, 640))
    found = in_pixels(recording, per_person=True, pair_distance=150)['predictions']
    assert [answer.persons for answer in found] == [(0,), (1,), (2,), (0, 1)]
    pair = Recording(name='x', keypoint=keypoint[:2], keypoint_score=score[:2], img_shape=(480, 640))
    (expected,) = in_pixels(pair)['predictions']
    np.testing.assert_allclose(found[3].scores[FUSED], expected.scores[FUSED], atol=1e-6)


def test_pairs_are_near_in_half_of_their_frames(three):
    def pairs(keypoint, distance=2.0):
        parts = list(each_person([Recording(name='x', keypoint=keypoint)], KINECT_V1, distance))
        return [
            (part.persons, part.first_frame, part.keypoint.shape[:2])
            for part in parts
            if len(part.persons) > 1
        ]

    assert pairs(three) == [((0, 2), 10, (2, 15))]
    parting = three.copy()
    parting[2, 15:25, :, 0] += 5
    assert pairs(parting) == [((2, 3), 10, (2, 15))]
    unseen = three.copy()
    unseen[2, :, KINECT_V1.center] = 0
    assert pairs(unseen) == []


@pytest.mark.fault(
    'pairs in a file whose layout is not the one of the model', '-', 'found by the layout of the file'
)
def test_pairs_in_a_file_that_names_its_layout():
    keypoint = np.random.default_rng(0).uniform(100, 200, (2, 9, 18, 2))
    file = Recording(name='x', load=lambda: Recording(keypoint=keypoint, layout='openpose'))
    found = [part.persons for part in each_person([file], KINECT_V1, pair_distance=300)]
    assert found == [(0,), (1,), (0, 1)]


@pytest.mark.parametrize(
    ('keypoint', 'message'),
    [
        (np.ones((30, 2, 20, 3)), r'exchange the first two axes'),
        (np.zeros((2, 9, 20, 3)), 'no person'),
        (np.ones((1, 9, 19, 3)), '19 joints'),
        ('text', 'expected numbers'),
    ],
)
def test_faults_are_those_of_a_prediction_without(inferencer, keypoint, message):
    recordings = [Recording(name='bad', keypoint=np.asarray(keypoint))]
    for options in ({}, dict(per_person=True)):
        left_out = inferencer(recordings, on_error='skip', **options)['left_out']
        assert all(message in reason for reason in left_out.values())
        assert left_out


def test_a_persons_fault_names_the_person_and_leaves_the_others(inferencer, three):
    three[2, 12, 3, 1] = np.nan
    result = inferencer(three, per_person=True, on_error='skip')
    assert [answer.persons for answer in result['predictions']] == [(0,), (3,)]
    ((where, reason),) = result['left_out'].items()
    assert where == 'input 0, person 2'
    assert 'not finite' in reason


def test_options_that_do_not_fit_are_refused(inferencer, three):
    with pytest.raises(ValueError, match='with per_person=True'):
        inferencer(three, pair_distance=1.0)
    with pytest.raises(ValueError, match='takes one person'):
        inferencer(three, per_person=True, pair_distance=1.0)


def test_only_one_recording_is_in_memory():
    alive = []

    def load(i):
        alive.append(i)
        return Recording(name=str(i), keypoint=np.ones((2, 9, 17, 3)))

    parts = each_person((Recording(name=str(i), load=lambda i=i: load(i)) for i in range(9)), COCO)
    assert [next(parts).name for _ in range(3)] == ['0', '0', '1']
    assert alive == [0, 1]

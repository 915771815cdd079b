import json

import numpy as np
import pytest

from mmdualhead.apis.estimators import ESTIMATORS, Estimator, Replay, make_estimator, mediapipe_pose
from mmdualhead.apis.estimators.mediapipe_pose import FOCAL_LENGTH, distinct, in_space
from mmdualhead.datasets.poses import Person
from mmdualhead.errors import UserError
from mmdualhead.skeletons import SKELETONS
from tests.apis.test_fit import pixels
from tests.apis.videos import replay

IMAGE = np.zeros((120, 160, 3), np.uint8)
JOINTS = SKELETONS['mediapipe'].joints


def test_replay_gives_the_persons_of_each_frame():
    keypoint = np.ones((2, 3, 17, 2), np.float32)
    keypoint[1, 1] = 0
    score = np.full((2, 3, 17), 0.5, np.float32)
    estimator = replay(keypoint, 'coco', keypoint_score=score, ids=('a', 'b'))
    seen = [[person.id for person in estimator.estimate(IMAGE, t)] for t in range(4)]
    assert seen == [['a', 'b'], ['a'], ['a', 'b'], []]
    assert estimator.flat


def test_replay_takes_the_confidence_of_flat_joints_from_the_third_column():
    keypoint = np.dstack([np.ones((3, 17, 2)), np.full((3, 17), 0.25)])
    (person,) = replay(keypoint, 'coco').estimate(IMAGE, 0)
    assert person.joints.shape == (17, 2)
    assert (person.scores == 0.25).all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(layout='kinect_v1'), r'keypoint: shape \(2, 3, 17, 2\), expected \(M, T, 20'),
        (dict(keypoint_score=np.ones((2, 4, 17))), 'keypoint_score has shape'),
        (dict(ids=(1, 2, 3)), 'ids: 3'),
        (dict(keypoint=np.ones((40, 2, 17, 2))), r'reads as \(T, M, V, C\)'),
        (dict(keypoint=np.full((2, 3, 17, 2), 'a')), 'expected numbers'),
        (dict(layout='nosuch'), 'nosuch'),
    ],
)
def test_replay_refuses_arrays_that_do_not_fit(changes, message):
    with pytest.raises(UserError, match=message):
        replay(**{'keypoint': np.ones((2, 3, 17, 2)), 'layout': 'coco', **changes})


def test_replay_reads_what_predict_reads(tmp_path):
    np.savez(tmp_path / 'poses.npz', keypoint=np.ones((1, 5, 17, 2)), keypoint_score=np.ones((1, 5, 17)))
    estimator = Replay.of_file(tmp_path / 'poses.npz', 'coco')
    assert len([estimator.estimate(IMAGE, t) for t in range(5)]) == 5
    with pytest.raises(UserError, match='does not tell the layout'):
        Replay.of_file(tmp_path / 'poses.npz')


@pytest.mark.fault(
    '`video --poses` of joints in pixels of another image size', '-', 'refused, names file and both sizes'
)
def test_replay_takes_joints_of_the_same_image(tmp_path):
    path = tmp_path / 'poses.npz'
    np.savez(path, keypoint=np.ones((1, 5, 17, 2)), img_shape=(480, 640))
    assert Replay.of_file(path, 'coco', img_shape=(480, 640)).count == 5
    with pytest.raises(
        UserError, match=r'poses\.npz: img_shape is \(480, 640\), but the video has \(1080, 1920\)'
    ):
        Replay.of_file(path, 'coco', img_shape=(1080, 1920))
    with pytest.raises(UserError, match=r"poses\.npz: keypoint: shape \(1, 5, 17, 2\).*layout 'halpe_26'"):
        Replay.of_file(path, 'halpe_26')


@pytest.mark.fault('`video --poses` of a file that is missing or damaged', '-', 'one line with the path')
def test_replay_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r'absent\.npz: no such file'):
        Replay.of_file(tmp_path / 'absent.npz')
    (tmp_path / 'damaged.json').write_text('{"frames"')
    with pytest.raises(UserError, match=r'damaged\.json: '):
        Replay.of_file(tmp_path / 'damaged.json')


@pytest.mark.fault(
    '`video --poses` of a file that lists frames with persons only, or every second one, or counts from 1',
    'labels too early',
    'joints belong to the frames that have their numbers',
)
@pytest.mark.parametrize(
    ('numbers', 'count', 'places'),
    [
        (range(57, 67), 300, range(57, 67)),
        (range(0, 20, 2), 20, range(0, 20, 2)),
        (range(1, 11), 10, range(10)),
        (range(1000, 1010), 10, range(10)),
        (range(57, 67), None, range(57, 67)),
    ],
)
def test_replay_gives_joints_at_their_frames(tmp_path, numbers, count, places):
    body = pixels(17, 3)[0, 0]
    moved = [body + np.array([place, place, 0]) for place in places]
    entries = [
        dict(image_id=f'{number}.jpg', category_id=1, keypoints=joints.ravel().tolist(), score=1)
        for number, joints in zip(numbers, moved, strict=True)
    ]
    (tmp_path / 'alphapose-results.json').write_text(json.dumps(entries))
    estimator = Replay.of_file(tmp_path / 'alphapose-results.json', img_shape=(480, 640), count=count)
    for place in range(70):
        found = [person.joints[0, 0] - body[0, 0] for person in estimator.estimate(IMAGE, 0)]
        np.testing.assert_allclose(found, [place] if place in places else [], atol=1e-3)


def test_an_estimator_of_ones_own_is_found_by_its_name(monkeypatch):
    class Nobody(Estimator):
        layout = 'coco'

        def estimate(self, image, time):  # noqa: ARG002
            return []

    monkeypatch.setitem(ESTIMATORS.module_dict, 'Nobody', Nobody)
    estimator = make_estimator('Nobody')
    assert estimator.flat
    assert estimator.estimate(IMAGE, 0) == []
    with pytest.raises(UserError, match=r'estimator Nobody with .*max_persons'):
        make_estimator('Nobody', max_persons=2)
    with pytest.raises(UserError, match="no estimator 'Nobodi' among MediaPipePose, Nobody, Replay"):
        make_estimator('Nobodi')


def test_a_missing_mediapipe_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(mediapipe_pose, 'find_spec', lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "mmdualhead\[video\]"'):
        make_estimator('MediaPipePose')


def standing():
    """A person in MediaPipe's axes who looks at the camera: left is right in the image, y down, z away."""
    world = np.zeros((33, 3), np.float32)
    for name, place in {
        'nose': (0, -0.6, -0.1),
        'left hip': (0.1, 0, 0),
        'right hip': (-0.1, 0, 0),
        'left heel': (0.1, 0.9, 0.05),
        'left foot index': (0.1, 0.9, -0.15),
    }.items():
        world[JOINTS.index(name)] = place
    return world


def test_persons_stand_upright_with_left_on_the_left():
    """Left is where the feet point crossed with up, in right-handed axes such as the Kinect's."""
    world = standing()
    size = np.array([640.0, 480.0], np.float32)
    joints = in_space(world, 300 * world[:, :2] + size / 2, size)
    nose, left, right, heel, toe = (
        joints[JOINTS.index(name)]
        for name in ('nose', 'left hip', 'right hip', 'left heel', 'left foot index')
    )
    up = nose - (left + right) / 2
    assert up[1] > 0.5
    assert np.cross(up, toe - heel) @ (left - right) > 0


def test_persons_are_where_they_are_before_the_camera():
    world, size = standing(), np.array([640.0, 480.0], np.float32)
    pixels = 200 * world[:, :2] + (520, 140)
    hips = (in_space(world, pixels, size) - in_space(world, 200 * world[:, :2] + size / 2, size)).mean(0)
    assert np.allclose(hips, (1.0, 0.5, 0.0), atol=1e-3)
    half = in_space(world, 100 * world[:, :2] + size / 2, size)
    assert half[:, 2].mean() == pytest.approx(-FOCAL_LENGTH * 640 / 100 - world[:, 2].mean(), rel=1e-3)


def test_a_person_found_twice_is_one():
    rng = np.random.default_rng(0)
    place = rng.uniform(100, 300, (33, 2)).astype(np.float32)
    good, same = Person(place, np.full(33, 0.9)), Person(place + 5, np.full(33, 0.8))
    beside = Person(place + np.float32([90, 0]), np.full(33, 0.5))
    assert distinct([same, beside, good]) == [good, beside]

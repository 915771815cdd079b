import numpy as np
import pytest

from mmdualhead.datasets.synthetic.kinematics import (
    SEGMENTS,
    forward_kinematics,
    plant_feet,
    pose_angles,
    rest_offsets,
    rotations,
)
from mmdualhead.skeletons import NTU

J = {name: index for index, name in enumerate(NTU.joints)}


def stand(pose=None, frames=1):
    angles = np.repeat(pose_angles(pose or {})[None], frames, axis=0)
    return forward_kinematics(angles, rest_offsets())


def test_every_joint_but_the_pelvis_ends_one_segment():
    assert sorted(s.joint for s in SEGMENTS.values()) == list(range(1, NTU.num_joints))


def test_rotations_are_rotations():
    r = rotations(np.random.RandomState(0).uniform(-180, 180, (50, 3)))
    np.testing.assert_allclose(r @ r.swapaxes(-1, -2), np.broadcast_to(np.eye(3), r.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(r), 1.0)


def test_bones_keep_their_length_whatever_the_angles():
    offsets = rest_offsets(np.random.RandomState(1).uniform(0.9, 1.1, NTU.num_joints))
    p = forward_kinematics(np.random.RandomState(2).uniform(-90, 90, (20, NTU.num_joints, 3)), offsets)
    for s in SEGMENTS.values():
        length = np.linalg.norm(p[:, s.joint] - p[:, s.parent], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(offsets[s.joint]))


def test_the_person_stands_upright_left_on_the_negative_side():
    (p,) = stand()
    assert p[J['head'], 1] > p[J['spine base'], 1] > p[J['left knee'], 1] > p[J['left foot'], 1]
    assert p[J['left shoulder'], 0] < 0 < p[J['right shoulder'], 0]
    assert p[J['left foot'], 2] < p[J['left ankle'], 2]


@pytest.mark.parametrize('pose', [{'upper arm': (30, 10, 40), 'shank': (-50, 0, 0)}, {'thigh': (20, 15, 10)}])
def test_a_pose_without_sides_is_symmetric(pose):
    (p,) = stand(pose)
    np.testing.assert_allclose(p[list(NTU.mirror)] * (-1, 1, 1), p, atol=1e-12)


def test_flexion_lifts_a_limb_forward_and_abduction_outward():
    (p,) = stand({'left upper arm': (90, 0, 0), 'right upper arm': (0, 0, 90)})
    arm = p[J['left wrist']] - p[J['left shoulder']]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), (0, 0, -1), atol=1e-12)
    arm = p[J['right wrist']] - p[J['right shoulder']]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), (1, 0, 0), atol=1e-12)


def test_an_unknown_segment_is_refused():
    with pytest.raises(KeyError, match='tail'):
        pose_angles({'tail': (0, 0, 0)})


def test_bent_knees_lower_the_pelvis_over_feet_that_stay():
    bend = np.linspace(0, 1, 30)[:, None, None] * pose_angles({'thigh': (80, 0, 0), 'shank': (-80, 0, 0)})
    p = plant_feet(forward_kinematics(bend, rest_offsets()))
    assert p[0, 0, 1] - p[-1, 0, 1] > 0.3
    assert np.ptp(p[:, J['left ankle'], 2]) < 1e-9
    np.testing.assert_allclose(p[..., 1].min(axis=1), 0, atol=1e-12)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmdualhead.datasets.missing import marked_joints
from mmdualhead.datasets.plausibility import number_fault
from mmdualhead.datasets.transforms.camera import VirtualCamera
from mmdualhead.skeletons import KINECT_V1, get_skeleton

ROOT = Path(__file__).parents[2]
BODY_13 = get_skeleton('body_13')

MARKED = (slice(None), slice(2, 7), [3, 7, 15])


@pytest.fixture
def in_space() -> np.ndarray:
    """A person who stands up in front of the camera, in meters: (1, T, V, 3)."""
    return np.load(ROOT / 'mmdualhead/weights/stand_up.npy').astype(float).reshape(1, -1, 20, 3)


@pytest.fixture
def in_image(in_space: np.ndarray) -> np.ndarray:
    """The same, in pixels."""
    return VirtualCamera(layout='kinect_v1', target='body_13')({'keypoint': in_space})['keypoint']


@pytest.mark.fault(
    'joints marked as missing by 99, 999, 1000 or 9999',
    'trained on, and answered',
    'refused by name in conversion, training, prediction and streams, unless they may be in their place',
)
@pytest.mark.parametrize('mark', [99, 999, 1000, 9999])
@pytest.mark.parametrize('unit', [1, 100, 1000])
def test_one_code_in_all_coordinates(in_space: np.ndarray, mark: float, unit: float) -> None:
    clip = in_space * unit
    assert not marked_joints(clip, KINECT_V1).any()
    clip[MARKED] = mark
    assert (marked_joints(clip, KINECT_V1) == (clip == mark).all(-1)).all()
    assert f'{mark}, {mark}, {mark}, in 15 joints, is a mark' in number_fault(clip, None, KINECT_V1)
    assert number_fault(clip[0, 3], None, KINECT_V1).startswith('keypoint: joint 3 (head): ')


def test_a_person_marked_as_a_whole(in_space: np.ndarray) -> None:
    in_space[0, 4] = 999
    assert marked_joints(in_space, KINECT_V1).sum() == 20


def test_a_code_in_an_image(in_image: np.ndarray) -> None:
    for clip in (in_image, in_image.round(), in_image.astype(np.float16)):
        assert not marked_joints(clip, BODY_13).any()
        clip[0, 2:7, [3, 11]] = 9999
        assert marked_joints(clip, BODY_13).sum() == 10


def test_a_joint_in_its_place_is_none(in_image: np.ndarray) -> None:
    wrist, elbow = BODY_13.joints.index('left wrist'), BODY_13.joints.index('left elbow')
    for code in (99, 100, 999, 1000):
        clip = in_image.round() + (code - in_image[:, :, [wrist]].round())
        assert (clip[:, :, wrist] == code).all()
        assert not marked_joints(clip, BODY_13).any()
    # An estimator's error elsewhere.
    in_image[0, 3, elbow] = (713, 713)
    assert not marked_joints(in_image, BODY_13).any()


@pytest.mark.fault(
    'joints in space marked as missing by one coordinate, such as a depth of 0 or -1',
    'trained on, and answered',
    'refused by name, unless they may be in their place or coordinates are rounded',
)
@pytest.mark.parametrize('mark', [0, -1, 99])
def test_a_whole_number_in_one_coordinate(in_space: np.ndarray, mark: float) -> None:
    clip = in_space.copy()
    clip[..., 2][MARKED] = mark
    assert (marked_joints(clip, KINECT_V1) == (clip[..., 2] == mark)).all()
    clip[:, 8, :, 2] = mark  # all joints of a frame
    assert marked_joints(clip, KINECT_V1)[:, 8].all()


def test_whole_numbers_by_chance(in_space: np.ndarray) -> None:
    in_space[0, 3, 5, 2] = 3  # a few centimeters away
    in_space[0, 3, 6, 2] += 2  # far away, but no mark
    assert not marked_joints(in_space, KINECT_V1).any()
    rounded = (1000 * in_space).round()
    rounded[0, 3, 6, 2] = 0
    assert not marked_joints(rounded, KINECT_V1).any()
    in_space[..., 2] = 0  # joints in an image as joints in space
    assert not marked_joints(in_space, KINECT_V1).any()

from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.datasets.plausibility import (
    DOUBTS,
    describe_pictures,
    describe_postures,
    find_axes,
    judge_posture,
    number_fault,
    picture_fault,
)
from mmdualhead.errors import Level
from mmdualhead.skeletons import COCO, KINECT_V1, NTU, Skeleton
from tests.datasets.converters.raw_files import standing


def someone(skeleton: Skeleton, frames: int = 3) -> np.ndarray:
    """Stands upright and looks at the camera, which is at the origin: (1, T, V, 3)."""
    joints = np.tile([0.0, 0.0, 3.0], (len(skeleton.joints), 1))
    height = {'foot': -0.9, 'ankle': -0.85, 'knee': -0.4, 'shoulder': 0.5, 'head': 0.7, 'elbow': 0.3}
    for joint, name in enumerate(skeleton.joints):
        joints[joint, 1] = next((y for part, y in height.items() if part in name), 0)
        # x grows to the right of a person who faces the camera.
        joints[joint, 0] = -0.2 * name.startswith('left') + 0.2 * name.startswith('right')
        joints[joint, 2] -= 0.15 * ('foot' in name)
    return np.tile(joints, (1, frames, 1, 1))


def posture(*held: bool) -> dict[str, bool]:
    return dict(zip(DOUBTS, held, strict=False))


def test_a_person_in_front_of_the_camera() -> None:
    for skeleton in (NTU, KINECT_V1):
        assert judge_posture(someone(skeleton), skeleton) == posture(True, True, True)


def test_turning_round_changes_nothing() -> None:
    turned = (someone(NTU) - (0, 0, 3)) * (-1, 1, -1) + (0, 0, 3)
    assert judge_posture(turned, NTU) == posture(True, True, True)


def test_left_and_right_exchanged() -> None:
    assert judge_posture(someone(NTU)[:, :, list(NTU.mirror)], NTU) == posture(True, False, True)
    assert judge_posture(someone(NTU) * (-1, 1, 1), NTU) == posture(True, False, True)


def test_axes_exchanged() -> None:
    assert not judge_posture(someone(NTU)[..., [0, 2, 1]], NTU)['y is up']
    assert not judge_posture(someone(NTU) * (1, -1, 1), NTU)['y is up']


def test_millimeters() -> None:
    assert judge_posture(someone(NTU) * 1000, NTU) == posture(True, True, False)


def test_an_absent_first_person_and_lost_frames_are_passed_over() -> None:
    clip = np.concatenate([np.zeros((1, 3, 25, 3)), someone(NTU)])
    clip[1, 1] = 0
    assert judge_posture(clip, NTU) == posture(True, True, True)


def test_in_images_y_is_down() -> None:
    for size in (1, -1):
        assert judge_posture(someone(COCO) * (1, -size, 1), COCO)['y is down'] == (size == 1)
    lying = someone(COCO)[..., [1, 0, 2]]
    assert judge_posture(lying, COCO)['y is down']
    assert describe_postures([]) == []


@pytest.mark.fault(
    'left and right exchanged in 2-D recordings of persons who face the camera',
    'nothing is said',
    'the converters warn if the eyes of most clips are so; one recording cannot tell it',
)
def test_left_eyes_in_an_image() -> None:
    image = someone(COCO) * (-1, -1, 1) + (2, 2, 0)  # x grows to the right of the image
    exchanged = image[:, :, list(COCO.mirror)]
    without_face = image * (np.arange(17) > 4)[:, None]
    postures = [judge_posture(clip, COCO) for clip in (image, exchanged, exchanged, without_face)]
    both = {'y is down': True, 'left eyes are on the right': True}
    assert postures[0] == both
    assert postures[3] == {'y is down': True}
    found = describe_postures(postures)
    assert [one.text for one in found] == [
        'y is down in 4 of 4 clips',
        'left eyes are on the right in 1 of 3 clips',
        'in most clips left and right look exchanged, or persons are seen from behind',
    ]
    assert describe_postures([both])[0].text == 'y is down in 1, left eyes are on the right in 1 of 1 clips'


def test_warns_of_what_most_clips_fail() -> None:
    postures = [posture(True, False, True)] * 3 + [posture(False, True, True)]
    counts, warning = describe_postures(postures)
    assert str(counts) == 'posture: y is up in 3, left is left in 1, lengths are meters in 4 of 4 clips'
    assert warning.level is Level.WARNING
    assert warning.text.startswith('in most clips left and right look exchanged')


class TestAxes:
    @pytest.fixture
    def upright(self):
        joints = standing(20, 5)
        joints[:, 0], joints[:, 3] = (0, 0, 3), (0.02, 0.6, 3)
        return joints[None]

    @pytest.mark.parametrize(('factor', 'unit'), [(1, 'm'), (100, 'cm'), (1000, 'mm'), (7, None)])
    def test_unit(self, upright, factor, unit):
        axes = find_axes(factor * upright, KINECT_V1)
        assert axes.unit == unit
        assert axes.trunk == pytest.approx(0.6 * factor, rel=0.01)

    @pytest.mark.parametrize(('order', 'sign', 'up'), [((0, 1, 2), 1, '+y'), ((0, 2, 1), -1, '-z')])
    def test_up(self, upright, order, sign, up):
        assert find_axes(sign * upright[..., list(order)], KINECT_V1).up == up

    def test_the_first_person_that_is_there(self, upright):
        two = np.concatenate([np.zeros_like(upright), upright])
        assert find_axes(two, KINECT_V1).person == 1

    def test_not_to_be_told(self, upright):
        assert find_axes(0 * upright, KINECT_V1) is None
        assert find_axes(np.ones((1, 2, 17, 2)), COCO) is None


@pytest.mark.parametrize('skeleton', [COCO, None])
def test_joints_in_their_picture(skeleton: Skeleton | None) -> None:
    pixels = np.random.default_rng(0).uniform(20, (100, 200), (1, 4, 17, 2))
    pixels[0, 1, 3] = 0  # missing
    assert picture_fault(pixels, skeleton, (200, 100)) == ''
    assert 'are height and width exchanged?' in picture_fault(pixels, skeleton, (100, 200))
    assert 'are the joints in pixels?' in picture_fault(pixels / 200, skeleton, (200, 100))
    assert picture_fault(0 * pixels, skeleton, (200, 100)) == ''


def test_pictures_in_a_summary() -> None:
    assert describe_pictures([]) == []
    few, most = describe_pictures(['', 'x', '']), describe_pictures(['', 'x', 'x'])
    assert list(map(str, few)) == ['image: joints are in their image in 2 of 3 clips']
    assert (most[1].level, most[1].text) == (Level.WARNING, 'in most clips x')


def test_numbers_of_a_person_pass() -> None:
    for clip in (someone(NTU), someone(COCO) * (1, 1, 0.4)):
        for score in (None, np.full(clip.shape[:3], 1.2)):  # of a heat map
            skeleton = NTU if clip.shape[2] == NTU.num_joints else COCO
            assert number_fault(clip, score, skeleton) == ''
    # Missing by its confidence, wherever it is.
    clip = np.where(np.arange(17)[:, None] < 3, (-1.0, -1.0, 0.0), someone(COCO))
    assert number_fault(clip, None, COCO) == ''


@pytest.mark.fault(
    'x, y and confidence in pixels, of a custom layout that lacks "flat"',
    'confidences are trained on as depths',
    'refused by conversion, training, prediction and streams, with what to do',
)
def test_confidences_for_depths() -> None:
    rng = np.random.default_rng(0)
    clip = np.concatenate([rng.uniform(50, 400, (1, 9, 20, 2)), rng.uniform(0, 1, (1, 9, 20, 1))], -1)
    assert 'the third coordinates are from 0 to 1' in number_fault(clip, None, KINECT_V1)
    assert 'the third coordinates are from 0 to 1' in number_fault(clip[0, 0], None, KINECT_V1)
    assert number_fault(clip[..., :2], None, KINECT_V1) == ''
    assert number_fault(clip * (1, 1, 0), None, KINECT_V1) == ''
    assert number_fault(clip * (0.01, 0.01, 1), None, KINECT_V1) == ''


@pytest.mark.parametrize('mark', [-1, -999])
def test_marks_of_missing_joints(mark: float) -> None:
    clip = someone(NTU)
    clip[0, 1, 3] = mark
    expected = (
        f'keypoint: person 0, frame 1, joint 3 (head): {mark}, {mark}, {mark}, in 1 joint, is a mark of a '
        'missing joint'
    )
    assert number_fault(clip, None, NTU).startswith(expected)
    assert number_fault(clip[0, 1], None, NTU).startswith('keypoint: joint 3 (head): ')

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mmdualhead.datasets import (
    JointDropout,
    JointJitter,
    MirrorSkeleton,
    RandomBoneLengths,
    RandomRotate3D,
    RandomScale,
    RandomShear,
    TemporalCropResize,
)
from mmdualhead.datasets.transforms.augment import interpolate
from mmdualhead.datasets.transforms.streams import bone_vectors
from mmdualhead.skeletons import KINECT_V1, NTU, SKELETONS
from tests.datasets.clips import make_clip

ALL = [
    RandomRotate3D(0.5),
    RandomScale(0.3),
    RandomShear(0.3),
    JointDropout(0.3),
    JointJitter(0.02),
    MirrorSkeleton(prob=1),
    RandomBoneLengths(),
    TemporalCropResize(),
]


@pytest.fixture
def clip():
    """Two persons; one is missing in some frames, some joints in others."""
    clip = make_clip(2, 40)
    clip['keypoint'][1, 5:20] = 0
    clip['keypoint'][0, 10:13, 3] = 0
    clip['keypoint_score'] = np.random.default_rng(0).random((2, 40, 25), np.float32)
    return clip


@pytest.mark.parametrize('step', ALL, ids=lambda step: type(step).__name__)
def test_is_random_repeatable_and_leaves_its_argument_alone(step, clip):
    before = clip['keypoint'].copy()
    np.random.seed(1)
    first = step.transform(dict(clip))['keypoint']
    second = step.transform(dict(clip))['keypoint']
    np.random.seed(1)
    np.testing.assert_array_equal(step.transform(dict(clip))['keypoint'], first)
    assert isinstance(step, MirrorSkeleton) or not np.array_equal(first, second)
    assert not np.array_equal(first, before)
    np.testing.assert_array_equal(clip['keypoint'], before)
    assert first.dtype == np.float32
    assert first.shape == before.shape


@pytest.mark.parametrize('step', ALL[:5], ids=lambda step: type(step).__name__)
def test_missing_joints_stay_missing(step, clip):
    missing = ~clip['keypoint'].any(-1)
    assert not step.transform(dict(clip))['keypoint'][missing].any()


@pytest.mark.parametrize('amount', [0.5, (0.1, 0.2, 3.0)])
def test_rotation_keeps_bone_lengths_and_handedness(clip, amount):
    turned = RandomRotate3D(amount).transform(dict(clip))['keypoint']
    before, after = (bone_vectors(k, NTU).astype(np.float64) for k in (clip['keypoint'], turned))
    np.testing.assert_allclose(np.linalg.norm(after, axis=-1), np.linalg.norm(before, axis=-1), atol=1e-5)
    volume = [np.linalg.det(k[0, 0, [4, 8, 0]].astype(np.float64)) for k in (clip['keypoint'], turned)]
    assert volume[0] == pytest.approx(volume[1], rel=1e-4)


def test_rotation_about_one_axis_stays_within_its_angle():
    for _ in range(20):
        matrix = RandomRotate3D((0, 0, 0.2)).matrix(3)
        np.testing.assert_allclose(matrix[2], [0, 0, 1], atol=1e-12)
        assert matrix[0, 0] >= np.cos(0.2)


def test_rotations_turn_counterclockwise_about_x_first_and_z_last():
    np.random.seed(3)
    angles = np.random.uniform(-1, 1, 3)
    np.random.seed(3)
    matrix = RandomRotate3D(1).matrix(3)
    np.testing.assert_allclose(matrix, Rotation.from_euler('xyz', angles).as_matrix(), atol=1e-12)


def test_changes_go_both_ways_up_to_their_amount():
    np.random.seed(0)
    drawn = [[RandomScale(0.2).matrix(1).item() - 1, RandomShear(0.2).matrix(2)[0, 1]] for _ in range(200)]
    np.testing.assert_allclose(np.min(drawn, 0), -0.2, atol=0.02)
    np.testing.assert_allclose(np.max(drawn, 0), 0.2, atol=0.02)


def test_scale_and_shear_are_what_they_say():
    np.random.seed(0)
    for _ in range(20):
        scale = RandomScale((0.1, 0, 0.3)).matrix(3)
        assert np.count_nonzero(scale - np.diag(np.diag(scale))) == 0
        assert (np.abs(np.diag(scale) - 1) <= (0.1, 0, 0.3)).all()
        shear = RandomShear((0, 0.2, 0)).matrix(3)
        np.testing.assert_array_equal(np.diag(shear), 1)
        np.testing.assert_array_equal(shear[[0, 2]], np.eye(3)[[0, 2]])
        assert np.abs(shear[1, [0, 2]]).max() <= 0.2
        assert shear[1, [0, 2]].all()


def test_images_have_two_coordinates():
    clip = dict(frame_dir='x', keypoint=np.ones((1, 2, 17, 2), np.float32))
    assert RandomScale().transform(dict(clip))['keypoint'].shape == (1, 2, 17, 2)
    with pytest.raises(ValueError, match='3 coordinates'):
        RandomRotate3D().transform(clip)
    with pytest.raises(ValueError, match=r"'x'.*3 amounts.*2 coordinates"):
        RandomShear((1, 1, 1)).transform(clip)


def test_dropout_loses_whole_joints_but_never_all(clip):
    np.random.seed(0)
    clip['keypoint'] = make_clip(2, 40)['keypoint']
    result = JointDropout(0.4).transform(dict(clip))
    seen = result['keypoint'].any(-1)
    np.testing.assert_array_equal(seen.all((0, 1)), seen.any((0, 1)))
    assert 0 < seen.any((0, 1)).sum() < 25
    np.testing.assert_array_equal(result['keypoint_score'].any((0, 1)), seen.any((0, 1)))
    assert JointDropout(1).transform(dict(clip))['keypoint'].any((0, 1, 3)).sum() == 1


def test_jitter_has_its_size(clip):
    noise = (JointJitter(0.02).transform(dict(clip))['keypoint'] - clip['keypoint'])[clip['keypoint'] != 0]
    assert noise.std() == pytest.approx(0.02, rel=0.1)
    assert abs(noise.mean()) < 0.002


@pytest.mark.parametrize('layout', SKELETONS)
def test_mirroring(layout):
    skeleton = SKELETONS[layout]
    clip = make_clip(2, 10, joints=skeleton.num_joints)
    clip['keypoint_score'] = np.random.default_rng(0).random((2, 10, skeleton.num_joints))
    mirror = MirrorSkeleton(layout, prob=1)
    once = mirror.transform(dict(clip))
    left, right = skeleton.pairs[0]
    np.testing.assert_array_equal(
        once['keypoint'][..., left, :], clip['keypoint'][..., right, :] * (-1, 1, 1)
    )
    np.testing.assert_array_equal(once['keypoint_score'][..., left], clip['keypoint_score'][..., right])
    twice = mirror.transform(dict(once))
    for key in ('keypoint', 'keypoint_score'):
        np.testing.assert_array_equal(twice[key], clip[key])
    assert MirrorSkeleton(layout, prob=0).transform(dict(clip))['keypoint'] is clip['keypoint']


def test_crop_of_everything_is_the_identity(clip):
    result = TemporalCropResize((1, 1)).transform(dict(clip))
    np.testing.assert_array_equal(result['keypoint'], clip['keypoint'])
    np.testing.assert_array_equal(result['keypoint_score'], clip['keypoint_score'])


def test_crop_takes_a_part_and_slows_it_down():
    keypoint = np.arange(1.0, 101)[None, :, None, None].repeat(25, 2).repeat(3, 3)
    np.random.seed(0)
    for _ in range(20):
        result = TemporalCropResize((0.3, 0.6), length=64).transform(dict(keypoint=keypoint))
        time = result['keypoint'][0, :, 0, 0]
        assert result['total_frames'] == len(time) == 64
        assert np.abs(keypoint[0, result['frame_inds'], 0, 0] - time).max() <= 0.5
        np.testing.assert_allclose(np.diff(time), (time[-1] - time[0]) / 63)
        assert 28 <= time[-1] - time[0] <= 60
        assert time[0] >= 1
        assert time[-1] <= 100


def test_crop_of_a_single_frame():
    clip = make_clip(1, 1)
    np.testing.assert_array_equal(TemporalCropResize().transform(dict(clip))['keypoint'], clip['keypoint'])


def test_missing_joints_are_not_blended():
    keypoint = np.full((1, 3, 1, 3), 4.0)
    keypoint[0, 1] = 0
    found = interpolate(keypoint, np.array([0, 0.4, 0.6, 1.4, 1.6, 2]))[0, :, 0, 0]
    assert found.tolist() == [4, 4, 0, 0, 4, 4]


@pytest.mark.parametrize(
    'make',
    [
        lambda: RandomRotate3D(-1),
        lambda: RandomScale((0.1, -0.1, 0.1)),
        lambda: JointDropout(1.5),
        lambda: JointJitter(-1),
        lambda: MirrorSkeleton(prob=-0.1),
        lambda: MirrorSkeleton(dict(joints=2, bones=[(1, 0)])),
        lambda: TemporalCropResize((0, 1)),
        lambda: TemporalCropResize((0.8, 0.5)),
        lambda: TemporalCropResize((0.5, 1.5)),
        lambda: TemporalCropResize(length=0),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ValueError, match=r'at least 0|probability|pairs|ratio|length of at least 1'):
        make()


def test_no_change_at_all_may_be_asked_for(clip):
    for step in (RandomScale(0), JointJitter(0), JointDropout(0), MirrorSkeleton(prob=0)):
        np.testing.assert_array_equal(step.transform(dict(clip))['keypoint'], clip['keypoint'])


class TestRandomBoneLengths:
    def test_scales_each_bone_by_one_factor_and_left_as_right(self):
        before = make_clip(1, 10, joints=20)['keypoint'].astype(np.float64)
        after = RandomBoneLengths('kinect_v1', 0.2)(dict(keypoint=before.copy()))['keypoint']
        child, parent = np.array(KINECT_V1.bones).T
        one, other = (np.linalg.norm(x[:, :, child] - x[:, :, parent], axis=-1) for x in (before, after))
        factors = other / one
        np.testing.assert_allclose(factors, factors[:1, :1].repeat(10, 1), rtol=1e-9)
        assert (np.abs(factors - 1) <= 0.2 + 1e-9).all()
        by_joint = dict(zip(child, factors[0, 0], strict=True))
        for left, right in KINECT_V1.pairs:
            assert by_joint[left] == pytest.approx(by_joint[right])

    def test_nothing_scaled_is_nothing_changed(self):
        before = make_clip(1, 10, joints=20)['keypoint']
        before[0, 3, 7] = 0
        after = RandomBoneLengths('kinect_v1', 0.0)(dict(keypoint=before.copy()))['keypoint']
        np.testing.assert_allclose(after, before, atol=1e-6)

    @pytest.mark.fault(
        'bones scaled where a joint is lost in some frames', 'limbs jump', 'they go on from the next joint'
    )
    @pytest.mark.parametrize('lost', [0, 5, 9])
    def test_lost_joints_move_no_others_far(self, lost):
        before = make_clip(1, 1, joints=20)['keypoint'].repeat(2, 1) + np.float32(3)
        before[0, 1, lost] = 0
        after = RandomBoneLengths('kinect_v1', 0.15)(dict(keypoint=before.copy()))['keypoint']
        assert not after[0, 1, lost].any()
        rest = np.arange(20) != lost
        longest = np.linalg.norm(bone_vectors(before[:, :1], KINECT_V1), axis=-1).sum()
        assert np.abs(after[0, 0] - after[0, 1])[rest].max() < 0.15 * longest
        np.testing.assert_array_equal(after[0, :, rest].any(-1), True)


@pytest.mark.fault('MirrorSkeleton before pixels are normalized', 'x becomes negative', 'refused')
def test_pixels_are_not_mirrored():
    pixels = {'keypoint': np.full((1, 4, 17, 2), 300.0), 'frame_dir': 'a'}
    with pytest.raises(ValueError, match="clip 'a': MirrorSkeleton takes joints around 0, found pixels"):
        MirrorSkeleton('coco', prob=0).transform(pixels)

import copy
import dataclasses

import numpy as np
import pytest
from mmaction.datasets.transforms import PreNormalize3D

from mmdualhead.datasets import NormalizeSkeleton3D, StretchSkeleton
from mmdualhead.datasets.transforms.normalize import X_AXIS, Z_AXIS, normalize_clip, rotation_onto
from mmdualhead.skeletons import KINECT_V1, NTU
from tests.datasets.clips import make_clip


def lose(clip, person, frames):
    clip['keypoint'][person, frames] = 0
    return clip


@pytest.mark.parametrize(
    'clip',
    [
        make_clip(1, 50),
        make_clip(2, 40),
        make_clip(1, 1),
        lose(make_clip(1, 30), 0, slice(0, 7)),
        lose(make_clip(2, 30), 1, slice(10, 20)),
        lose(make_clip(2, 30), 0, slice(None)),
        lose(lose(make_clip(2, 30), 0, [3, 4]), 1, [3, 4]),
        dict(make_clip(2, 30), keypoint=make_clip(2, 30)['keypoint'].astype(np.float16)),
        dict(make_clip(2, 30), keypoint=make_clip(2, 30)['keypoint'].astype(np.float64)),
    ],
    ids=['one', 'two', 'T=1', 'late', 'second lost', 'first never', 'both lost', 'float16', 'float64'],
)
def test_equals_mmaction_bit_for_bit(clip):
    theirs = PreNormalize3D().transform(copy.deepcopy(clip))
    ours = NormalizeSkeleton3D().transform(copy.deepcopy(clip))
    assert ours['keypoint'].dtype == theirs['keypoint'].dtype
    np.testing.assert_array_equal(ours['keypoint'], theirs['keypoint'])
    np.testing.assert_array_equal(ours['body_center'], theirs['body_center'])
    assert ours['total_frames'] == theirs['total_frames']


@pytest.mark.parametrize(('skeleton', 'joints'), [(NTU, 25), (KINECT_V1, 20)])
@pytest.mark.parametrize('persons', [1, 2, 3, 5])
def test_center_and_axes(skeleton, joints, persons):
    keypoint = normalize_clip(make_clip(persons, 10, joints=joints)['keypoint'], skeleton).keypoint
    first = keypoint[0, 0]
    np.testing.assert_array_equal(first[skeleton.center], 0)
    right, left = skeleton.across
    across = first[right] - first[left]
    np.testing.assert_allclose(across / np.linalg.norm(across), X_AXIS, atol=1e-6)


def test_keeps_distances_within_a_frame():
    before = make_clip(2, 10)['keypoint'].astype(np.float64)
    after = normalize_clip(before, NTU).keypoint
    np.testing.assert_allclose(
        np.linalg.norm(after[0] - after[1], axis=-1), np.linalg.norm(before[0] - before[1], axis=-1)
    )


def test_never_changes_its_argument():
    clip = make_clip(3, 10)
    clip['keypoint'][0, 2] = np.nan
    before = clip['keypoint'].copy()
    NormalizeSkeleton3D().transform(dict(clip))
    np.testing.assert_array_equal(clip['keypoint'], before)


@pytest.mark.parametrize('known', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1)])
def test_a_joint_is_missing_only_where_all_of_its_coordinates_are_zero(known):
    clip = lose(make_clip(1, 5), 0, [2])
    clip['keypoint'][0, 3, 7] *= known
    clip['keypoint'][0, 3, 8] = 0
    theirs = PreNormalize3D().transform(copy.deepcopy(clip))['keypoint']
    ours = NormalizeSkeleton3D().transform(copy.deepcopy(clip))['keypoint']
    np.testing.assert_array_equal(ours, theirs)
    assert ours[0, 2, 7].any()
    assert not ours[0, 2, 8].any()


def test_nan_is_a_missing_joint_and_spreads_nowhere():
    clean = make_clip(1, 20)['keypoint']
    broken = clean.copy()
    broken[0, 5, 3] = np.nan, 1, 2
    missing = clean.copy()
    missing[0, 5, 3] = 0
    np.testing.assert_array_equal(normalize_clip(broken, NTU).keypoint, normalize_clip(missing, NTU).keypoint)


NEEDED = dict(center=NTU.center, hip=NTU.up[0], right=NTU.across[0], left=NTU.across[1])


@pytest.mark.fault(
    'a joint that is missing in the first frame, where it gives the center or a turn',
    'PreNormalize3D moves or turns the whole clip',
    'the first frame that has it is taken; zero and NaN are the same',
)
@pytest.mark.parametrize('missing', [0, np.nan])
@pytest.mark.parametrize('joint', NEEDED.values(), ids=NEEDED)
def test_a_missing_joint_that_gives_the_axes_moves_on_to_the_next_frame(joint, missing):
    keypoint = make_clip(1, 20)['keypoint']
    whole = normalize_clip(keypoint[:, 1:], NTU).keypoint
    keypoint[0, 0, joint] = missing
    found = normalize_clip(keypoint, NTU).keypoint
    np.testing.assert_array_equal(found[:, 1:], whole)
    assert not found[0, 0, joint].any()


@pytest.mark.parametrize(
    'joints', [['hip'], ['right'], ['center'], ['hip', 'left'], ['center', 'hip', 'right']]
)
def test_of_joints_that_are_never_there_zero_is_nan(joints):
    zero, nan = make_clip(2, 8)['keypoint'], make_clip(2, 8)['keypoint']
    lost = [NEEDED[joint] for joint in joints]
    zero[:, :, lost], nan[:, :, lost] = 0, np.nan
    found = normalize_clip(zero, NTU)
    np.testing.assert_array_equal(found.keypoint, normalize_clip(nan, NTU).keypoint)
    # Whatever is not known is neither moved nor turned.
    if joints == ['hip']:
        upright = dataclasses.replace(NTU, up=None)
        np.testing.assert_array_equal(found.keypoint, normalize_clip(zero, upright).keypoint)


def test_the_frame_that_has_most_is_taken_if_none_has_all():
    keypoint = make_clip(1, 4)['keypoint']
    keypoint[0, :2, NTU.center] = 0
    keypoint[0, 2:, NTU.up[0]] = 0
    keypoint[0, 2, NTU.across[0]] = 0
    np.testing.assert_array_equal(normalize_clip(keypoint, NTU).keypoint[0, 3, NTU.center], 0)


@pytest.mark.parametrize('everywhere', [False, True])
@pytest.mark.parametrize('layout', [NTU, KINECT_V1])
def test_a_centered_clip_has_a_true_zero_and_stays(layout, everywhere):
    """Centered and upright in the first frame, or centered in each; lengths of bones vary a little."""
    rng = np.random.default_rng(0)
    body = rng.normal(0, 0.3, (layout.num_joints, 3))
    body[[layout.center, layout.up[0]]] = (0, 0, 0), (0, 0, -0.3)
    body[list(layout.across)] = (0.2, 0, 0.1), (-0.2, 0, 0.1)
    clip = np.repeat(body[None, None], 9, axis=1)
    clip[:, 1:] += rng.normal(0, 0.01, (1, 8, layout.num_joints, 3))
    if everywhere:
        clip -= clip[:, :, [layout.center]]
    np.testing.assert_allclose(normalize_clip(clip, layout).keypoint, clip, atol=1e-12)


@pytest.mark.fault(
    'joints relative to the hip, whose zeros read as a missing hip',
    'the hip stays at the origin while the others move',
    'as the same joints elsewhere',
)
@pytest.mark.parametrize('layout', [NTU, KINECT_V1])
def test_joints_relative_to_the_hip(layout):
    """In each frame; a hip that is missing is not at the origin, by its bones or since it is NaN."""
    rng = np.random.default_rng(0)
    clip = rng.normal((0, 0, 3), 0.3, (2, 1, layout.num_joints, 3)) + rng.normal(
        0, 0.01, (2, 9, layout.num_joints, 3)
    )
    clip[1, 6:] = 0
    hip = layout.up[0]
    relative = np.where(clip.any(-1, keepdims=True), clip - clip[:, :, [hip]], 0)
    elsewhere = np.where(clip.any(-1, keepdims=True), relative + 2, 0)
    found, expected = normalize_clip(relative, layout), normalize_clip(elsewhere, layout)
    np.testing.assert_allclose(found.keypoint, expected.keypoint, atol=1e-12)
    np.testing.assert_allclose(found.center, expected.center - 2, atol=1e-12)
    for missing, moved in ((0, clip), (np.nan, relative)):
        lost = moved.copy()
        lost[:, :, hip] = missing
        assert not normalize_clip(lost, layout).keypoint[:, :, hip].any()


def test_small_coordinates_are_a_person():
    """Only numbers below 1e-8 are nobody."""
    keypoint = make_clip(1, 4)['keypoint'].astype(np.float64)
    keypoint[0, 1] *= 1e-5
    keypoint[0, 2] *= 1e-10
    assert normalize_clip(keypoint, NTU).frames.tolist() == [0, 1, 3]


def test_the_person_seen_most_comes_first_and_no_frame_with_somebody_is_dropped():
    clip = lose(lose(lose(make_clip(3, 10), 0, slice(0, 6)), 1, [0]), 2, slice(2, 10))
    result = normalize_clip(clip['keypoint'], NTU)
    assert result.persons.tolist() == [1, 0, 2]
    assert result.frames.tolist() == list(range(10))


def test_scores_follow_persons_and_frames():
    clip = lose(lose(make_clip(2, 6), 0, [0, 1, 2]), 1, [0])
    clip['keypoint_score'] = np.random.default_rng(0).random((2, 6, 25))
    score = NormalizeSkeleton3D().transform(dict(clip))['keypoint_score']
    np.testing.assert_array_equal(score, clip['keypoint_score'][[1, 0], 1:])


def test_a_clip_without_anybody_stays_as_it_is():
    clip = dict(frame_dir='x', keypoint=np.zeros((2, 4, 25, 3), np.float32), total_frames=4)
    result = NormalizeSkeleton3D().transform(dict(clip))
    assert result['keypoint'].shape == (2, 4, 25, 3)
    assert not result['keypoint'].any()


def test_coordinates_that_sum_to_zero_are_not_an_empty_clip():
    keypoint = make_clip(1, 2)['keypoint'].round(1).astype(np.float64)
    keypoint[:, 1] = -keypoint[:, 0]
    assert keypoint.sum() == 0
    np.testing.assert_array_equal(normalize_clip(keypoint, NTU).keypoint[0, 0, NTU.center], 0)


def test_a_normalized_clip_passes_unchanged():
    clip = make_clip(1, 5, normalized=True)
    assert NormalizeSkeleton3D().transform(dict(clip))['keypoint'] is clip['keypoint']


def test_a_layout_of_ones_own():
    layout = dict(joints=3, bones=[(1, 0), (2, 1)], up=(0, 1))
    keypoint = make_clip(1, 5, joints=3)['keypoint']
    result = NormalizeSkeleton3D(layout).transform(dict(keypoint=keypoint))['keypoint']
    up = result[0, 0, 1] - result[0, 0, 0]
    np.testing.assert_allclose(up / np.linalg.norm(up), Z_AXIS, atol=1e-6)
    flat = NormalizeSkeleton3D(dict(joints=3, bones=[(1, 0), (2, 1)])).transform(dict(keypoint=keypoint))
    np.testing.assert_array_equal(flat['keypoint'], keypoint - keypoint[0, 0, 0])


def test_wrong_shape_names_the_clip():
    with pytest.raises(ValueError, match=r"'S007'.*\(1, 30, 17, 3\).*25"):
        NormalizeSkeleton3D().transform(make_clip(joints=17, seed=7))


@pytest.mark.parametrize('vector', [(0, 0, 1), (0, 0, -2), (1e-9, 0, 0), (1, 2, 3), (1e-5, 2e-5, 0)])
def test_rotation_onto(vector):
    vector = np.array(vector, float)
    rotation = rotation_onto(vector, Z_AXIS, X_AXIS)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    length = np.linalg.norm(vector)
    if length > 1e-6:
        np.testing.assert_allclose(rotation @ vector / length, Z_AXIS, atol=1e-6)


def test_rotation_onto_its_own_direction_survives_a_cosine_beyond_one():
    axis, spare = np.ones(3) / np.sqrt(3), np.array([1, -1, 0]) / np.sqrt(2)
    assert np.ones(3) / np.linalg.norm(np.ones(3)) @ axis > 1
    np.testing.assert_array_equal(rotation_onto(np.ones(3), axis, spare), np.eye(3))
    turned = rotation_onto(-np.ones(3), axis, spare) @ axis
    np.testing.assert_allclose(turned, -axis, atol=1e-12)


class TestStretchSkeleton:
    @pytest.fixture
    def clip(self):
        clip = make_clip(2, 30)
        clip['keypoint'][1, 5:9] = 0
        clip['keypoint'][0, 3, 4] = np.nan
        return clip

    def stretch(self, clip, keypoint):
        return StretchSkeleton().transform(dict(clip, keypoint=keypoint))['keypoint']

    def test_every_coordinate_reaches_from_one_end_to_the_other(self, clip):
        before = clip['keypoint'].copy()
        stretched = self.stretch(clip, before)
        assert stretched.dtype == np.float32
        missing = np.isnan(before).any(-1) | ~before.any(-1)
        assert not stretched[missing].any()
        np.testing.assert_allclose(stretched[~missing].min(0), -1, atol=1e-5)
        np.testing.assert_allclose(stretched[~missing].max(0), 1, atol=1e-5)
        np.testing.assert_array_equal(clip['keypoint'], before)

    def test_place_and_size_do_not_matter(self, clip):
        moved = np.where(clip['keypoint'] != 0, 3 * clip['keypoint'] + np.float32([1, -2, 5]), 0)
        expected = self.stretch(clip, clip['keypoint'])
        np.testing.assert_allclose(self.stretch(clip, moved), expected, atol=1e-4)

    def test_of_the_authors_of_ctr_gcn(self):
        """Their feeder: centered on the spine of the first frame, then (x - min) / (max - min) * 2 - 1."""
        keypoint = make_clip(1, 20)['keypoint'].astype(np.float64)
        value = (keypoint - keypoint[0, 0, 1])[0].reshape(-1, 3)
        value = (value - value.min(0)) / (value.max(0) - value.min(0)) * 2 - 1
        found = self.stretch({}, keypoint)
        np.testing.assert_allclose(found, value.reshape(keypoint.shape), rtol=0, atol=1e-12)

    def test_nobody_and_a_flat_clip(self):
        empty = np.zeros((1, 4, 5, 3), np.float32)
        np.testing.assert_array_equal(self.stretch({}, empty), empty)
        flat = make_clip(1, 4)['keypoint']
        flat[..., 2] = 7
        assert not self.stretch({}, flat)[..., 2].any()


def test_confidences_are_not_depths():
    keypoint = np.random.default_rng(0).random((1, 3, 18, 3))
    with pytest.raises(ValueError, match="layout 'openpose' is of joints in an image"):
        NormalizeSkeleton3D('openpose').transform(dict(frame_dir='x', keypoint=keypoint))

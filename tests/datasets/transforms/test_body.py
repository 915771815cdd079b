"""Normalization by the body depends on nothing but the body."""

from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.datasets import FillGaps, NormalizeByBody
from mmdualhead.datasets.transforms.body import normalize_by_body
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import BODY, COCO

HIPS = [BODY.joints.index(f'{side} hip') for side in ('left', 'right')]
SHOULDERS = [BODY.joints.index(f'{side} shoulder') for side in ('left', 'right')]
WRIST = BODY.joints.index('left wrist')


@pytest.fixture
def pixels():
    """(M, T, V, 2) two persons who sway, about 200 pixels tall."""
    rng = np.random.default_rng(0)
    body = rng.normal(size=(2, 1, 13, 2)) * 40 + [[[[300, 250]]], [[[900, 260]]]]
    return body + rng.normal(size=(2, 20, 13, 2)).cumsum(axis=1)


class TestNormalizeByBody:
    def test_hips_are_in_the_center_and_the_trunk_is_the_unit(self, pixels):
        x = normalize_by_body(pixels, BODY)
        assert x.dtype == np.float32
        np.testing.assert_allclose(np.median(x[:, :, HIPS].mean(2), axis=1), 0, atol=1e-6)
        trunk = np.linalg.norm(x[:, :, HIPS].mean(2) - x[:, :, SHOULDERS].mean(2), axis=-1)
        np.testing.assert_allclose(np.median(trunk, axis=1), 1, rtol=1e-6)

    @pytest.mark.parametrize('scale', [1 / 1080, 0.5, 3, 1e5])
    @pytest.mark.parametrize('shift', [0, 7, -400])
    def test_neither_size_nor_place_in_the_picture_enters(self, pixels, scale, shift):
        np.testing.assert_allclose(
            normalize_by_body(scale * (pixels + shift), BODY),
            normalize_by_body(pixels, BODY),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_a_power_of_two_changes_no_bit(self, pixels):
        np.testing.assert_array_equal(normalize_by_body(4 * pixels, BODY), normalize_by_body(pixels, BODY))

    def test_the_size_of_the_image_is_not_read(self, pixels):
        given = [
            NormalizeByBody()(dict(keypoint=pixels, img_shape=shape))['keypoint']
            for shape in ((1080, 1920), (10, 10))
        ]
        np.testing.assert_array_equal(*given)

    def test_y_stays_pointing_down(self, pixels):
        pixels[:, :, SHOULDERS, 1] = pixels[:, :, HIPS, 1] - 100
        x = normalize_by_body(pixels, BODY)
        assert (x[:, :, SHOULDERS, 1] < x[:, :, HIPS, 1]).all()

    def test_every_person_by_its_own_body(self, pixels):
        both = normalize_by_body(pixels, BODY)
        for person in (0, 1):
            alone = normalize_by_body(pixels[person : person + 1], BODY)
            np.testing.assert_array_equal(both[person], alone[0])

    @pytest.mark.parametrize('nothing', [0, np.nan])
    def test_missing_joints_stay_missing_and_change_no_other(self, pixels, nothing):
        whole = normalize_by_body(pixels, BODY)
        pixels[0, 3:6, WRIST] = nothing
        x = normalize_by_body(pixels, BODY)
        assert not x[0, 3:6, WRIST].any()
        x[0, 3:6, WRIST] = whole[0, 3:6, WRIST]
        np.testing.assert_array_equal(x, whole)

    def test_absent_persons_stay_zero(self, pixels):
        pixels[1] = 0
        assert not normalize_by_body(pixels, BODY)[1].any()

    def test_a_bow_and_outliers_do_not_change_the_unit(self, pixels):
        usual = normalize_by_body(pixels, BODY)
        pixels[:, 4, HIPS] += 1000
        x = normalize_by_body(pixels, BODY)
        np.testing.assert_allclose(x[:, 10], usual[:, 10], atol=0.15)

    def test_a_side_that_is_never_seen_is_that_of_the_other(self, pixels):
        pixels[:, :, [HIPS[0], SHOULDERS[0]]] = 0
        x = normalize_by_body(pixels, BODY)
        np.testing.assert_allclose(np.median(x[:, :, HIPS[1]], axis=1), 0, atol=1e-6)
        trunk = np.median(x[:, :, SHOULDERS[1]], axis=1)
        np.testing.assert_allclose(np.linalg.norm(trunk, axis=-1), 1, rtol=1e-6)

    def test_hips_and_shoulders_seen_in_turns(self, pixels):
        usual = normalize_by_body(pixels, BODY)
        lost = pixels.copy()
        lost[:, ::2, HIPS] = 0
        lost[:, 1::2, SHOULDERS] = 0
        x = normalize_by_body(lost, BODY)
        np.testing.assert_allclose(x[:, :, WRIST], usual[:, :, WRIST], atol=0.1)

    def test_without_hips_it_says_who(self, pixels):
        pixels[1][:, HIPS] = 0
        with pytest.raises(ValueError, match="clip 'x': keypoint: person 1: no frame shows the hips"):
            NormalizeByBody()(dict(keypoint=pixels, frame_dir='x'))

    def test_unsure_joints_are_missing_and_confidences_are_no_input(self, pixels):
        score = np.ones(pixels.shape[:3])
        score[0, 2, WRIST] = 0.05
        beside = NormalizeByBody()(dict(keypoint=pixels, keypoint_score=score))
        within = NormalizeByBody()(dict(keypoint=np.concatenate([pixels, score[..., None]], -1)))
        assert not beside['keypoint'][0, 2, WRIST].any()
        assert 'keypoint_score' not in beside
        np.testing.assert_array_equal(beside['keypoint'], within['keypoint'])
        assert within['keypoint'].shape[-1] == 2

    def test_says_what_it_determines(self):
        declared = NetworkInput.of_steps([dict(type='NormalizeByBody', layout='coco')])
        assert (declared.normalization, declared.skeleton) == ('body', COCO)
        assert not declared.needs_picture
        assert not declared.needs_depth


class TestFillGaps:
    def test_is_linear_between_and_constant_at_the_ends(self):
        keypoint = np.zeros((1, 6, 2, 2))
        keypoint[0, :, 0] = 1
        keypoint[0, [1, 4], 1] = [[1, 10], [4, 40]]
        filled = FillGaps()(dict(keypoint=keypoint.copy()))['keypoint']
        np.testing.assert_allclose(filled[0, :, 1], [[n, 10 * n] for n in (1, 1, 2, 3, 4, 4)])
        np.testing.assert_array_equal(filled[0, :, 0], 1)

    def test_what_is_missing_throughout_stays_missing(self, pixels):
        pixels[0][:, WRIST] = 0
        np.testing.assert_array_equal(FillGaps()(dict(keypoint=pixels.copy()))['keypoint'], pixels)

    def test_joints_lost_for_a_moment_hardly_change_the_clip(self, pixels):
        lost = pixels.copy()
        lost[:, 5:8, WRIST] = 0
        assert np.abs(FillGaps()(dict(keypoint=lost))['keypoint'] - pixels).max() < 6

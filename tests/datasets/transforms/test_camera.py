"""Virtual cameras: where points appear, and what they lose."""

from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.datasets import NormalizeByBody, VirtualCamera
from mmdualhead.datasets.transforms.camera import Camera, lose_joints
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import BODY, KINECT_V1, NTU, convert_layout
from tests.datasets.clips import make_clip

HEIGHT, WIDTH = 1080, 1920


class TestCamera:
    def test_a_known_point_is_at_the_known_pixel(self):
        """Half a meter above and to the person's left, that is on the right of the image, 3.5 m away."""
        pixel = Camera(distance=3.5).project(np.array([-0.5, 0.5, 0.0]))
        np.testing.assert_allclose(pixel, [WIDTH / 2 + HEIGHT / 7, HEIGHT / 2 - HEIGHT / 7])

    def test_what_it_looks_at_is_in_the_middle(self):
        camera = Camera(yaw=33, pitch=12, roll=4, distance=2)
        np.testing.assert_allclose(camera.project(np.zeros(3)), [WIDTH / 2, HEIGHT / 2])

    def test_from_the_persons_left_what_is_in_front_moves_to_the_left(self):
        nose = np.array([0.0, 0.0, -0.1])
        assert Camera(yaw=30).project(nose)[0] < WIDTH / 2
        assert Camera(yaw=-30).project(nose)[0] > WIDTH / 2

    def test_from_the_side_depth_is_all_there_is(self):
        points = np.random.default_rng(0).normal(size=(9, 3))
        side, front = Camera(yaw=90, distance=50), Camera(distance=50)
        turned = np.stack([-points[:, 2], points[:, 1], points[:, 0]], -1)
        np.testing.assert_allclose(side.project(points), front.project(turned))

    def test_from_above_what_is_in_front_is_lower(self):
        assert Camera(pitch=20).project(np.array([0.0, 0.0, -0.1]))[1] > HEIGHT / 2

    def test_the_image_turns_against_the_camera(self):
        up = np.array([0.0, 0.5, 0.0])
        assert Camera(roll=10).project(up)[0] < WIDTH / 2

    def test_from_afar_it_drops_the_depth(self):
        points = np.random.default_rng(0).normal(size=(9, 3))
        distance = 1e7
        meters = (Camera(distance=distance).project(points) - [WIDTH / 2, HEIGHT / 2]) * distance / HEIGHT
        np.testing.assert_allclose(meters, -points[:, :2], atol=1e-5)

    def test_what_is_behind_is_not_in_the_image(self):
        assert np.isnan(Camera(distance=2).project(np.array([0.0, 0.0, -3.0]))).all()


class TestVirtualCamera:
    @pytest.fixture
    def clip(self):
        return make_clip(1, 40, joints=20)

    def test_gives_pixels_of_the_joints_of_all_estimators(self, clip):
        seen = VirtualCamera(distance=1000)(dict(clip))
        assert seen['keypoint'].shape == (1, 40, 13, 2)
        assert seen['img_shape'] == (HEIGHT, WIDTH)
        assert seen['keypoint_score'].all()
        joints = convert_layout(clip['keypoint'], KINECT_V1, BODY)
        both = (seen['keypoint'], -joints[..., :2])
        x, expected = (NormalizeByBody()(dict(keypoint=one))['keypoint'] for one in both)
        np.testing.assert_allclose(x, expected, atol=0.02)

    def test_the_same_view_of_the_same_clip_is_the_same(self, clip):
        errors = dict(yaw=30, noise=0.02, bias=0.02, lost=0.05)
        drawn = []
        for seed in (5, 5, 6):
            np.random.seed(seed)
            drawn.append(VirtualCamera(**errors)(dict(clip))['keypoint'])
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert not np.array_equal(drawn[1], drawn[2])

    def test_numbers_are_drawn_from_ranges(self, clip):
        np.random.seed(0)
        camera = VirtualCamera(yaw=(-45, 45))
        views = [camera(dict(clip))['keypoint'] for _ in range(3)]
        assert not np.array_equal(views[0], views[1])

    def test_missing_joints_stay_missing(self, clip):
        keypoint = clip['keypoint'].copy()
        keypoint[0, 7, KINECT_V1.joints.index('left wrist')] = 0
        keypoint[0, 9] = 0
        seen = VirtualCamera()(dict(clip, keypoint=keypoint))
        assert not seen['keypoint'][0, 7, BODY.joints.index('left wrist')].any()
        assert not seen['keypoint'][0, 9].any()
        np.testing.assert_array_equal(seen['keypoint_score'] > 0, seen['keypoint'].any(-1))

    def test_an_empty_clip_stays_empty(self, clip):
        assert not VirtualCamera(noise=0.1)(dict(clip, keypoint=0 * clip['keypoint']))['keypoint'].any()

    def test_noise_is_in_lengths_of_the_trunk(self, clip):
        np.random.seed(0)
        clean, noisy = (
            NormalizeByBody()(VirtualCamera(noise=noise)(dict(clip)))['keypoint'] for noise in (0, 0.05)
        )
        assert 0.04 < (noisy - clean).std() < 0.08

    def test_loses_about_as_many_joints_as_it_should(self):
        np.random.seed(0)
        lost = lose_joints((2, 400, 13), 0.05)
        assert 0.04 < lost.mean() < 0.06
        begins = (lost[:, 1:] & ~lost[:, :-1]).sum()
        assert 3 < lost.sum() / begins < 8
        assert not lose_joints((2, 400, 13), 0.0).any()

    @pytest.mark.fault(
        'a virtual camera that loses the hips of a short clip for all of it',
        '-',
        'a joint is lost for a part of the frames only',
    )
    def test_no_joint_is_lost_for_a_whole_clip(self):
        np.random.seed(0)
        lost = lose_joints((2000, 2, 13), 0.9)
        assert lost.any()
        assert not lost.all(1).any()
        assert not lose_joints((2, 1, 13), 1.0).any()

    def test_clips_have_another_layout_than_the_network(self):
        declared = NetworkInput.of_steps(
            [dict(type='VirtualCamera', layout='nturgb+d'), dict(type='NormalizeByBody')]
        )
        assert declared.skeleton is BODY
        assert declared.normalization == 'body'
        assert declared.of_clips.skeleton is NTU
        assert declared.of_clips.needs_depth
        assert 'recorded' not in declared.to_meta()

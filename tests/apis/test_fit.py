"""One gate: layout, axes, unit and picture of a recording are judged by what the network takes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mmdualhead.apis.fit import fit
from mmdualhead.apis.readers import read_annotation, read_file
from mmdualhead.datasets.recording import Recording
from mmdualhead.datasets.transforms.body import normalize_by_body
from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import BODY, COCO, KINECT_V1, OPENPOSE, SKELETONS, convert_layout, get_skeleton

IN_SPACE = NetworkInput(skeleton=KINECT_V1, normalization='3d', num_person=1, channels=3)
IN_PIXELS = NetworkInput(skeleton=COCO, normalization='2d', num_person=2, channels=3)
IN_ANY_PICTURE = NetworkInput(skeleton=BODY, normalization='body', num_person=1, channels=2)
IN_PARTS = NetworkInput(skeleton=OPENPOSE, num_person=2, channels=3)


def body() -> np.ndarray:
    """(1, 9, 20, 3) somebody who stands upright before the camera, in meters."""
    trunk = [(0, 0.9, 3), (0, 1.0, 3), (0, 1.4, 3), (0, 1.6, 3)]
    arm = [(0.2, 1.4, 3), (0.25, 1.1, 3), (0.25, 0.9, 3), (0.25, 0.8, 3)]
    leg = [(0.1, 0.9, 3), (0.1, 0.5, 3), (0.1, 0.1, 3), (0.1, 0.0, 2.9)]
    left = (-1, 1, 1)
    joints = np.vstack([trunk, np.multiply(arm, left), arm, np.multiply(leg, left), leg])
    return np.repeat(joints[None, None], 9, axis=1)


def pixels(joints: int, channels: int) -> np.ndarray:
    """(1, 9, V, C) joints in a picture of 480 x 640 pixels."""
    keypoint = np.random.default_rng(0).uniform(100, 400, (1, 9, joints, channels))
    keypoint[..., 2:] = 0.9
    return keypoint


def fitted(keypoint: np.ndarray, network_input: NetworkInput, **options) -> Recording:
    return fit(Recording(name='x', keypoint=keypoint), network_input, **options)


@pytest.mark.fault(
    'an array with empty persons between others', 'persons beyond the first two are lost', 'both are seen'
)
def test_empty_persons_take_no_place():
    keypoint = np.zeros((4, 9, 17, 3))
    keypoint[1], keypoint[3] = pixels(17, 3)[0], pixels(17, 3)[0] + 5
    found = fitted(keypoint[..., :2], IN_PIXELS, img_shape=(480, 640))
    assert found.keypoint.shape[0] == 2
    np.testing.assert_array_equal(found.keypoint[1], found.keypoint[0] + 5)


class TestLayout:
    def test_advice_names_only_layouts_that_can_be_converted(self):
        for joints, advice in ((33, "with layout='mediapipe'"), (14, 'has 20$')):
            with pytest.raises(UserError, match=f'{joints} joints, the layout .*{advice}'):
                fitted(np.ones((9, joints, 3)), IN_SPACE)

    def test_poses_of_estimators_get_the_layouts_in_an_image(self):
        with pytest.raises(
            UserError, match=r"x, y and confidence in an image, give layout='coco' \(--layout\)"
        ):
            fitted(np.ones((9, 17, 3)), IN_SPACE)

    def test_a_table_that_names_the_joints_of_another_layout_gets_it(self, tmp_path):
        names = [f'{joint}_{axis}'.replace(' ', '_') for joint in COCO.joints for axis in ('x', 'y', 'score')]
        (tmp_path / 'c.csv').write_text(
            '\n'.join(','.join(line) for line in (names, ['0.5'] * 51, ['0.6'] * 51))
        )
        with pytest.raises(UserError, match="joints of layout 'coco': give layout='coco'"):
            fit(read_file(tmp_path / 'c.csv'), IN_ANY_PICTURE)

    def test_a_table_of_an_own_layout(self, tmp_path):
        joints = ['neck', 'left elbow', 'left hand', 'right elbow', 'right hand']
        arms = get_skeleton(dict(name='arms', joints=joints, bones=[[1, 0], [2, 1], [3, 0], [4, 3]]))
        x = np.random.default_rng(0).normal(size=(6, 15))
        np.savetxt(tmp_path / 'c.csv', x, delimiter=',')
        found = fit(read_file(tmp_path / 'c.csv'), replace(IN_SPACE, skeleton=arms))
        np.testing.assert_allclose(found.keypoint, x.reshape(1, 6, 5, 3), atol=1e-6)

    @pytest.mark.parametrize('header', ['joint_{}_{}', 'column_{}{}0'])
    def test_a_table_without_rows_has_no_frames(self, tmp_path, header):
        names = [header.format(joint, axis) for joint in range(20) for axis in 'xyz']
        (tmp_path / 'c.csv').write_text(','.join(names) + '\n')
        with pytest.raises(UserError, match='keypoint: no frames'):
            fit(read_file(tmp_path / 'c.csv'), IN_SPACE)


class TestAxes:
    @pytest.mark.fault(
        'array (T, M, V, C) in prediction', 'answered as 60 persons in 2 frames', 'the order is named'
    )
    def test_frames_before_persons(self):
        keypoint = np.repeat(body().swapaxes(0, 1), 7, axis=0)
        for most_active in (False, True):
            with pytest.raises(UserError, match=r'reads as \(T, M, V, C\).*exchange the first two axes'):
                fitted(keypoint, IN_SPACE, most_active=most_active)
        with pytest.raises(UserError, match=r'9 persons .* in 1 frames.*if the axes are \(T, M, V, C\)'):
            fitted(body().swapaxes(0, 1), IN_SPACE)

    @pytest.mark.fault(
        "MediaPipe's picture landmarks as a table or an array of joints in space",
        'answered as meters',
        "refused; unit='m' uses them",
    )
    def test_picture_landmarks_are_not_meters(self):
        world = np.random.default_rng(0).uniform(-0.4, 0.4, (1, 9, 33, 3))
        world[:, :, 24] = -world[:, :, 23]
        picture = 0.5 + 0.5 * world
        fitted(world, IN_SPACE, layout='mediapipe', unit='m')
        with pytest.raises(UserError, match=r'^keypoint: coordinates look like picture landmarks'):
            fitted(picture, IN_SPACE, layout='mediapipe')
        fitted(picture, IN_SPACE, layout='mediapipe', unit='m')

    @pytest.mark.fault(
        'joints in an image with a third coordinate of 0, for a model for joints in space',
        'answered',
        'noted',
    )
    def test_a_recording_without_depth_is_noted(self):
        for depth in (0, 1):
            (note,) = fitted(body() * (1, 1, 0) + (0, 0, depth), IN_SPACE).notes
            assert note.startswith(f'axes: no depth, z is {depth} in all joints')

    def test_mirrored_axes_are_noted(self):
        assert fitted(body(), IN_SPACE).notes == ()
        (note,) = fitted(body() * (-1, 1, 1), IN_SPACE).notes
        assert 'left and right look exchanged' in note


class TestUnit:
    def test_units_are_converted_and_checked(self):
        for unit, size in (('mm', 1000), ('cm', 100)):
            np.testing.assert_allclose(fitted(size * body(), IN_SPACE, unit=unit).keypoint, body())
            with pytest.raises(UserError, match=f'as if in {unit}'):
                fitted(size * body(), IN_SPACE)
        with pytest.raises(UserError, match='as in no usual unit'):
            fitted(body(), IN_SPACE, unit='mm')
        np.testing.assert_allclose(fitted(1000 * body(), IN_SPACE, unit='m').keypoint, 1000 * body())

    @pytest.mark.fault(
        'annotations in another unit, for a model that does not know the scale of its training',
        '-',
        'refused like arrays; --unit converts them',
    )
    def test_annotations(self):
        clip = dict(keypoint=1000 * body(), frame_dir='c')
        recording = read_annotation(clip)
        with pytest.raises(UserError, match='as if in mm'):
            fit(recording, IN_SPACE)
        np.testing.assert_allclose(fit(recording, IN_SPACE, unit='mm').keypoint, body(), atol=1e-6)
        np.testing.assert_array_equal(fit(recording, IN_SPACE, unit='m').keypoint, 1000 * body())
        fit(recording, replace(IN_SPACE, scale=300.0))  # it was trained on millimeters

    @pytest.mark.fault(
        'annotations with more persons than the model takes', 'some are left out', 'the same, with a note'
    )
    def test_persons_that_the_pipeline_leaves_out_are_noted(self):
        keypoint = np.concatenate([body(), 0 * body(), body() + 1])
        (note,) = fit(Recording('c', keypoint=keypoint, annotated=True), replace(IN_SPACE, scale=0.3)).notes
        assert note == 'keypoint: 2 persons, the model takes 1; its pipeline chooses, as in a test'
        assert fitted(keypoint, replace(IN_SPACE, num_person=2)).notes == ()

    @pytest.mark.fault(
        "--most-active with a model whose pipeline ends with MMAction2's FormatGCNInput",
        'the first persons are kept',
        'the most active are',
    )
    def test_the_most_active_person_is_kept_whatever_the_pipeline(self):
        keypoint = np.concatenate([body(), 0 * body(), body()])
        keypoint[2, :, :, 0] += np.arange(9)[:, None] / 100
        found = fitted(keypoint, IN_SPACE, most_active=True)
        np.testing.assert_array_equal(found.keypoint, keypoint[2:])
        assert found.notes == ('keypoint: of 2 persons the most active are kept (2)',)

    @pytest.mark.fault(
        'joints without hip or head, in another unit', '-', 'refused by the scale of the training clips'
    )
    def test_the_scale_of_the_training_clips(self):
        keypoint = body()
        keypoint[:, :, 3] = 0
        trained = replace(IN_SPACE, scale=0.3)
        assert fitted(keypoint, IN_SPACE).notes == ('unit: not checked, no frame has both hip and head',)
        assert fitted(keypoint, trained).notes == ()
        with pytest.raises(UserError, match='compared with the clips that the model was trained on'):
            fitted(1000 * keypoint, trained)
        annotated = Recording(name='x', keypoint=1000 * keypoint, annotated=True)
        with pytest.raises(UserError, match='are they in another unit'.capitalize()):
            fit(annotated, trained)


@pytest.mark.fault(
    'pixels where a network takes parts of a picture, or the other way round',
    'answered',
    'refused by the size of the picture, or of the training clips',
)
class TestPicture:
    def test_pixels_without_a_size(self):
        with pytest.raises(UserError, match='give the height and width'):
            fitted(pixels(17, 3), IN_PIXELS)
        annotated = Recording(name='x', keypoint=pixels(17, 2), annotated=True)
        with pytest.raises(UserError, match='give the height and width'):
            fit(annotated, IN_PIXELS)
        fit(annotated, replace(IN_PIXELS, img_shape=(480, 640)))
        with pytest.raises(UserError, match=r'images long, expected fractions of one; .* img_shape'):
            fitted(pixels(18, 3), IN_PARTS)

    def test_a_file_of_kinetics_in_pixels(self, tmp_path):
        x = pixels(18, 2)[0, 0]
        frame = dict(skeleton=[dict(pose=x.ravel().tolist(), score=[0.9] * 18)])
        content = dict(data=[dict(frame_index=1, **frame)], label='yoga', label_index=398)
        (tmp_path / 'x.json').write_text(json.dumps(content))
        with pytest.raises(UserError, match=r'expected 0\.\.1, fractions of'):
            fit(read_file(tmp_path / 'x.json'), IN_PARTS)

    @pytest.mark.parametrize('network_input', [IN_PIXELS, IN_PARTS])
    def test_a_size_that_is_not_theirs(self, network_input):
        joints = network_input.skeleton.num_joints
        wide = pixels(joints, 3) * (4, 1, 1)
        fitted(wide, network_input, img_shape=(480, 1800))
        with pytest.raises(UserError, match='are height and width exchanged'):
            fitted(wide, network_input, img_shape=(1800, 480))
        with pytest.raises(UserError, match='are the joints in pixels'):
            fitted(wide * (1 / 1800, 1 / 480, 1), network_input, img_shape=(480, 1800))

    def test_the_scale_of_the_training_clips(self):
        for network_input, size in ((IN_PIXELS, (480, 640)), (IN_PARTS, (480, 640))):
            keypoint = pixels(network_input.skeleton.num_joints, 3)
            usual = 0.6 if network_input is IN_PIXELS else 0.3
            assert fitted(keypoint, replace(network_input, scale=usual), img_shape=size).notes == ()
            with pytest.raises(UserError, match='compared with the clips'):
                fitted(keypoint, replace(network_input, scale=usual / 20), img_shape=size)

    def test_joints_in_space_may_have_the_size_of_an_image(self):
        recording = Recording(name='x', keypoint=body(), img_shape=(480, 640))
        np.testing.assert_array_equal(fit(recording, IN_SPACE).keypoint, body())

    def test_scores_that_are_not_given_are_noted(self):
        found = fitted(pixels(17, 2), IN_PIXELS, img_shape=(480, 640))
        assert (found.keypoint_score == 1).all()
        assert 'keypoint_score: not given' in found.notes[0]


class TestNumbers:
    @pytest.mark.fault('confidences in percent in prediction', '-', 'refused, names the joint')
    @pytest.mark.parametrize('network_input', [IN_PIXELS, IN_ANY_PICTURE])
    def test_confidences(self, network_input):
        options = dict(layout='coco', img_shape=(480, 640))
        for size, number in ((100, 90), (-3, -2.7)):
            with pytest.raises(
                UserError, match=rf'^keypoint_score: .*\(nose\): {number}, in 153 joints, is not'
            ):
                fitted(pixels(17, 3) * (1, 1, size), network_input, **options)

    @pytest.mark.parametrize('network_input', [IN_SPACE, IN_PIXELS, IN_ANY_PICTURE])
    def test_confidences_of_other_joints(self, network_input):
        joints = network_input.skeleton.num_joints
        recording = Recording(
            name='x', keypoint=pixels(joints, 3), keypoint_score=np.ones((1, 9, joints - 1)), img_shape=(9, 9)
        )
        with pytest.raises(UserError, match=r'keypoint_score has shape .*, keypoint '):
            fit(recording, network_input)

    @pytest.mark.fault('confidences that are all zero', 'answered as an empty recording', 'refused')
    @pytest.mark.parametrize('network_input', [IN_PIXELS, IN_PARTS, IN_ANY_PICTURE])
    def test_no_confidence_at_all(self, network_input):
        for keypoint in (pixels(18, 3) * (1, 1, 0), pixels(18, 3) * (1, 1, -1)):
            with pytest.raises(UserError, match=r'keypoint_score: no person, .* of 0'):
                fitted(keypoint, network_input, layout='openpose', img_shape=(480, 640))

    @pytest.mark.fault('a masked array', 'answered as if nothing were masked', 'refused by its place')
    def test_masked_arrays(self):
        keypoint = np.ma.masked_array(body(), mask=np.zeros(body().shape, bool))
        np.testing.assert_array_equal(fitted(keypoint, IN_SPACE).keypoint, body())
        keypoint[0, 2, 4] = np.ma.masked
        with pytest.raises(UserError, match=r'frame 2, joint 4 \(left shoulder\): nan'):
            fitted(keypoint, IN_SPACE)

    def test_an_image_size_may_be_an_array(self):
        expected = fitted(pixels(17, 3), IN_PIXELS, img_shape=(480, 640))
        found = fitted(pixels(17, 3), IN_PIXELS, img_shape=np.array([480, 640]))
        assert found.img_shape == expected.img_shape

    def test_fractions_that_are_not_centered_are_noted(self):
        centered = pixels(18, 3) / (640, 480, 1) - (0.5, 0.5, 0)
        assert fitted(centered, IN_PARTS).notes == ()
        (note,) = fitted(np.add(centered, (0.5, 0.5, 0)), IN_PARTS).notes
        assert 'the center of the image should be at 0' in note


class TestAnyPicture:
    """Networks that normalize by the body take the output of every estimator."""

    def picture(self) -> np.ndarray:
        """(1, 9, 13, 2) the person of :func:`body`, 300 pixels to a meter, y down."""
        seen = convert_layout(body(), KINECT_V1, BODY)
        return np.stack([320 - 300 * seen[..., 0], 500 - 300 * seen[..., 1]], -1)

    def test_pixels_of_any_layout_need_no_size_of_the_image(self):
        found = fitted(pixels(17, 2), IN_ANY_PICTURE, layout='coco')
        np.testing.assert_allclose(found.keypoint, convert_layout(pixels(17, 2), COCO, BODY))
        assert found.keypoint_score is None
        assert found.notes == ()

    @pytest.mark.fault('joints in an image with y up', '-', 'noted in prediction and by the converters')
    def test_y_up_is_noted(self):
        seen = self.picture()
        assert fitted(seen, IN_ANY_PICTURE).notes == ()
        (note,) = fitted((0, 600) + (1, -1) * seen, IN_ANY_PICTURE).notes
        assert note.startswith('axes: y points up')
        in_image = np.stack([320 - 300 * body()[..., 0], 300 * body()[..., 1]], -1)
        (note,) = fitted(in_image, IN_ANY_PICTURE, layout='kinect_v1').notes
        assert note.startswith('axes: y points up')

    @pytest.mark.parametrize('separate', [True, False])
    def test_unsure_joints_are_missing_before_others_are_derived_from_them(self, separate):
        keypoint = pixels(17, 3)
        keypoint[0, 4, 3, 2] = 0.01  # an ear
        keypoint[0, 5, 9, 2] = 0.01  # a wrist
        score = keypoint[..., 2] if separate else None
        recording = Recording(name='x', keypoint=keypoint[..., : 2 if separate else 3], keypoint_score=score)
        found = fit(recording, IN_ANY_PICTURE, layout='coco').keypoint
        assert found.shape == (1, 9, 13, 2)
        np.testing.assert_allclose(found[0, 4, 0], keypoint[0, 4, [0, 4], :2].mean(0))
        assert not found[0, 5, BODY.joints.index('left wrist')].any()

    @pytest.mark.fault('joints of which none is sure', 'predicted as if no person moved', 'refused')
    @pytest.mark.parametrize('options', [{}, {'img_shape': (480, 640)}])
    def test_persons_without_a_sure_joint_are_none(self, options):
        keypoint = pixels(17, 3)
        keypoint[..., 2] = 0.01
        with pytest.raises(UserError, match=r'keypoint_score: no person, .* below 0\.1'):
            fitted(keypoint, IN_ANY_PICTURE, layout='coco', **options)

    @pytest.mark.fault('an image of no size', 'predicted', 'refused')
    @pytest.mark.parametrize('shape', [(0, 0), (-480, 640), (480,), (480, float('nan')), '480x640'])
    def test_the_size_of_the_image_is_one(self, shape):
        with pytest.raises(UserError, match='img_shape: expected the height and width'):
            fitted(pixels(17, 2) / (640, 480), IN_ANY_PICTURE, layout='coco', img_shape=shape)

    @pytest.mark.fault(
        'joints in fractions of the image for a model that normalizes by the body',
        'persons as broad as the image',
        'refused',
    )
    def test_fractions_of_an_image_need_its_shape(self):
        parts = pixels(17, 2) / (640, 480)
        with pytest.raises(UserError, match=r'fractions of an image.*img_shape'):
            fitted(parts, IN_ANY_PICTURE, layout='coco')
        found = fitted(parts, IN_ANY_PICTURE, layout='coco', img_shape=(480, 640))
        np.testing.assert_allclose(found.keypoint, convert_layout(pixels(17, 2), COCO, BODY))

    @pytest.mark.parametrize('axes', [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
    @pytest.mark.parametrize('unit', [1, 1000])
    def test_recordings_in_space_are_seen_from_the_front(self, axes, unit):
        found = fitted(unit * body() * axes, IN_ANY_PICTURE, layout='kinect_v1')
        assert found.notes == ('keypoint: in space, seen from the front',)
        expected = normalize_by_body(self.picture(), BODY)
        np.testing.assert_allclose(normalize_by_body(found.keypoint, BODY), expected, atol=1e-6)

    def test_somebody_turned_is_seen_from_the_front_too(self):
        sin, cos = np.sin(0.7), np.cos(0.7)
        turned = body() @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        found = fitted(turned, IN_ANY_PICTURE, layout='kinect_v1').keypoint
        shoulders = found[0, 0, [1, 2]]
        np.testing.assert_allclose(shoulders[0] - shoulders[1], [0.4, 0], atol=1e-9)

    def test_without_a_front_there_is_no_view(self):
        lying = body()[..., [1, 0, 2]] @ np.array([[0.7, 0, 0.7], [0, 1, 0], [-0.7, 0, 0.7]])  # aslant
        with pytest.raises(UserError, match='person 0 is not upright on average'):
            fitted(lying, IN_ANY_PICTURE, layout='kinect_v1')
        turning = body()
        turning[:, ::2] = turning[:, ::2] * (-1, 1, 1)
        with pytest.raises(UserError, match='person 0 turns around'):
            fitted(turning, IN_ANY_PICTURE, layout='kinect_v1')

    @pytest.mark.parametrize('layout', sorted(set(SKELETONS) - {'body_13'}))
    def test_every_layout_is_taken(self, layout):
        joints = pixels(SKELETONS[layout].num_joints, 2)
        found = fitted(joints, IN_ANY_PICTURE, layout=layout)
        np.testing.assert_allclose(found.keypoint, convert_layout(joints, layout, 'body_13'), rtol=1e-6)

    def test_which_recordings_have_depth(self):
        def chosen(joints: int, channels: int, layout: str | None = None) -> bool:
            recording = Recording(name='x', keypoint=np.ones((1, 9, joints, channels)))
            return recording.converts_to(KINECT_V1, layout)

        assert chosen(20, 3)
        assert chosen(33, 3, 'mediapipe')
        assert not chosen(33, 2, 'mediapipe')
        assert not chosen(17, 3, 'coco')
        assert not chosen(17, 2)
        assert not chosen(17, 3, 'h36m')  # no hands and feet

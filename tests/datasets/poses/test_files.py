from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdualhead.apis.readers import read_file
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.datasets.converters.custom import read_own
from mmdualhead.datasets.converters.unfinished import state_of
from mmdualhead.datasets.poses.files import is_content, read_content, whole
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import SKELETONS

from .estimators import (
    PICTURE,
    alphapose,
    azure,
    in_space,
    instances,
    landmarks,
    mmpose,
    scored,
    walk,
    write_json,
    write_openpose,
)

UPRIGHT = (-1, -1, 1)


class TestOpenPose:
    @pytest.mark.parametrize('layout', ['openpose_25', 'openpose'])
    def test_a_folder_is_one_recording(self, tmp_path: Path, layout: str) -> None:
        joints = walk(layout, 12, 2)
        clip = read_own(write_openpose(tmp_path, joints))
        np.testing.assert_allclose(clip.keypoint, joints, rtol=1e-6)
        np.testing.assert_allclose(clip.keypoint_score, 0.75)
        assert (clip.layout, clip.ids, clip.frame_rate) == (layout, (0, 1), None)

    def test_frames_are_ordered_by_number_and_those_missing_are_empty(self, tmp_path: Path) -> None:
        joints = walk('openpose', 12)
        write_openpose(tmp_path, joints)
        for path in tmp_path.iterdir():
            path.rename(path.with_name(path.name.replace('0000000000', '')))
        (tmp_path / 'clip_10_keypoints.json').rename(tmp_path / 'clip_010_keypoints.json')
        (tmp_path / 'clip_04_keypoints.json').unlink()
        joints[:, 4] = 0
        np.testing.assert_allclose(read_own(tmp_path).keypoint, joints, rtol=1e-6)

    def test_every_fifth_frame(self, tmp_path: Path) -> None:
        joints = walk('openpose', 21)
        write_openpose(tmp_path, joints)
        for path in tmp_path.iterdir():
            if int(path.name.split('_')[1]) % 5:
                path.unlink()
        np.testing.assert_allclose(read_own(tmp_path).keypoint, joints[:, ::5], rtol=1e-6)

    def test_joints_that_were_not_found_are_missing(self, tmp_path: Path) -> None:
        joints = walk('openpose', 3)
        write_openpose(tmp_path, joints)
        path = tmp_path / f'clip_{1:012}_keypoints.json'
        content = json.loads(path.read_text())
        content['people'][0]['pose_keypoints_2d'][3:6] = [5.0, 5.0, 0.0]
        write_json(path, content)
        clip = read_own(tmp_path)
        assert not clip.keypoint[0, 1, 1].any()
        assert clip.keypoint_score[0, 1, 1] == 0

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda c: c['people'][0]['pose_keypoints_2d'].pop(), 'person 0: pose_keypoints_2d: 53 numbers'),
            (
                lambda c: c['people'][0].pop('pose_keypoints_2d'),
                "person 0: .*an object with 'pose_keypoints_2d'",
            ),
            (
                lambda c: c['people'][0]['pose_keypoints_2d'].__setitem__(4, True),
                r'\[4\]: True is not a number',
            ),
            (lambda c: c['people'][0]['pose_keypoints_2d'].__setitem__(5, 85), 'joint 1 is at .* score 85'),
            (lambda c: c['people'][0].update(pose_keypoints_2d=[1.0, 1.0, 0.5] * 25), 'different shapes'),
            (lambda c: c['people'][0].update(person_id=[4]), 'some persons have an id'),
            (lambda c: c.update(people={}), 'people: {} is not a list'),
        ],
    )
    @pytest.mark.fault("damaged frame among an estimator's", '-', 'refused with file, person and field')
    def test_damaged_frames_are_named(self, tmp_path: Path, change: Any, message: str) -> None:
        write_openpose(tmp_path, walk('openpose', 3, 2))
        path = tmp_path / f'clip_{2:012}_keypoints.json'
        content = json.loads(path.read_text())
        change(content)
        write_json(path, content)
        with pytest.raises(ValueError, match=f'OpenPose: .*frame.* {message}|OpenPose: .*{message}'):
            read_own(tmp_path)

    def test_a_truncated_file_is_named(self, tmp_path: Path) -> None:
        write_openpose(tmp_path, walk('openpose', 3))
        path = tmp_path / f'clip_{1:012}_keypoints.json'
        path.write_text(path.read_text()[:-9])
        with pytest.raises(ValueError, match=rf'{path.name}: not JSON'):
            read_own(tmp_path)

    @pytest.mark.fault(
        'a frame changes between a conversion and its continuation', '-', 'the recording is read again'
    )
    def test_the_state_of_a_recording_is_that_of_all_its_frames(self, tmp_path: Path) -> None:
        first, second, *_ = sorted(write_openpose(tmp_path, walk('openpose', 3)).iterdir())
        before = state_of(Recording('clip', first, 0))
        assert state_of(Recording('clip', first, 0)) == before
        second.write_text(f'{second.read_text()} ')
        assert state_of(Recording('clip', first, 0)) != before

    @pytest.mark.fault('frames of two recordings in one folder', '-', 'refused with a file of each')
    def test_two_recordings_in_a_folder_are_refused(self, tmp_path: Path) -> None:
        write_openpose(tmp_path, walk('openpose', 3))
        write_openpose(tmp_path, walk('openpose', 3), 'other')
        with pytest.raises(ValueError, match='clip_000000000000 and other_000000000000 are frames of two'):
            read_own(tmp_path)

    def test_frames_without_numbers_or_with_the_same_are_refused(self, tmp_path: Path) -> None:
        write_openpose(tmp_path, walk('openpose', 2))
        path = tmp_path / f'clip_{1:012}_keypoints.json'
        copied = path.rename(tmp_path / 'clip_00_keypoints.json')
        with pytest.raises(ValueError, match='1 frame with the number of another'):
            read_own(tmp_path)
        copied.rename(tmp_path / 'clip_keypoints.json')
        with pytest.raises(ValueError, match="'clip' contains no frame number"):
            read_own(tmp_path)

    @pytest.mark.parametrize('clip', ['my.walk', 'take1.cam', '2024.05.12'])
    def test_a_name_with_dots(self, tmp_path: Path, clip: str) -> None:
        write_openpose(tmp_path, walk('openpose', 3), clip)
        assert read_own(tmp_path).keypoint.shape[1] == 3

    def test_a_recording_without_persons_is_refused(self, tmp_path: Path) -> None:
        write_openpose(tmp_path, 0 * walk('openpose', 5))
        with pytest.raises(ValueError, match='no person in any of 5 frames'):
            read_own(tmp_path)


class TestAlphaPose:
    @pytest.mark.parametrize('layout', ['halpe_26', 'coco'])
    @pytest.mark.parametrize(('tracked', 'ids'), [(True, (1, 2)), (False, (0, 1))])
    def test_results(self, layout: str, tracked: bool, ids: tuple[int, ...]) -> None:
        joints = walk(layout, 12, 2)
        # As text, 10.jpg comes before 9.jpg.
        content = sorted(alphapose(joints, tracked=tracked), key=lambda entry: entry['image_id'])
        clip = read_content(content)
        np.testing.assert_allclose(clip.keypoint, joints, rtol=1e-6)
        assert (clip.layout, clip.ids) == (layout, ids)

    @pytest.mark.parametrize(('layout', 'joints'), [('halpe_26', 136), ('coco', 133)])
    def test_the_body_of_whole_bodies(self, layout: str, joints: int) -> None:
        body = walk(layout)
        more = np.full((1, 6, joints - body.shape[2], 2), 9.0)
        clip = read_content(alphapose(np.concatenate([body, more], 2), tracked=True))
        np.testing.assert_allclose(clip.keypoint, body, rtol=1e-6)
        assert (clip.layout, clip.keypoint_score.shape) == (layout, body.shape[:3])

    @pytest.mark.parametrize(('people', 'joints'), [('people', 'pose_keypoints_2d'), ('bodies', 'joints')])
    def test_the_forms_of_openpose_and_cmu(self, people: str, joints: str) -> None:
        expected = walk('openpose', 12)
        results = alphapose(expected, tracked=False)
        content = {
            one['image_id']: {'version': 'AlphaPose v0.3', people: [{joints: one['keypoints']}]}
            for one in results
        }
        np.testing.assert_allclose(read_content(content).keypoint, expected, rtol=1e-6)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda c: c[1].pop('image_id'), "AlphaPose: entry 1, image_id: .*'image_id'"),
            (lambda c: c[1].update(image_id='x.jpg'), "entry 1, image_id: 'x.jpg' contains no frame number"),
            (lambda c: c[1].update(image_id='b_1.jpg'), r'0.jpg and b_1.jpg are frames of two recordings'),
            (lambda c: c[3].update(idx=1), 'frame 1: two persons have the id 1'),
            (lambda c: c[3].pop('idx'), 'frame 1: some persons have an id'),
            (lambda c: c[3].update(idx='b'), "entry 3, image 1.jpg: idx: 'b' is not the number of a person"),
            (lambda c: c[3].update(image_id='9999999.jpg'), 'frames from 0 to 9999999, only 7 are listed'),
            (
                lambda c: c[3].update(keypoints=[float('nan'), 1, 1] * 17),
                'entry 3, image 1.jpg: keypoints: joint 0',
            ),
            (
                lambda c: c[3].update(keypoints=[1.0, 1.0, 1.0] * 26),
                r'different shapes: .*\(26, 2\) in frame 1',
            ),
            (
                lambda c: [one.update(keypoints=[1.0] * 45) for one in c],
                '15 joints of 2 coordinates, expected',
            ),
        ],
    )
    @pytest.mark.fault(
        "damaged or mixed entries of an estimator's results", '-', 'refused with entry and field'
    )
    def test_damaged_results_are_named(self, change: Any, message: str) -> None:
        content = alphapose(walk('coco', 6, 2), tracked=True)
        change(content)
        with pytest.raises(ValueError, match=message):
            read_content(content)


class TestMMPose:
    @pytest.mark.parametrize('layout', ['coco', 'halpe_26'])
    def test_predictions_of_a_video(self, tmp_path: Path, layout: str) -> None:
        joints = walk(layout, 8, 2)
        clip = read_own(write_json(tmp_path / 'x.json', mmpose(joints)))
        np.testing.assert_allclose(clip.keypoint, joints, rtol=1e-6)
        assert (clip.layout, clip.ids) == (layout, (0, 1))

    def test_results_of_the_demos(self) -> None:
        joints = walk('coco', 8)
        content = dict(meta_info=dict(dataset_name='coco'), instance_info=mmpose(joints, first=1))
        np.testing.assert_allclose(read_content(content).keypoint, joints, rtol=1e-6)
        content['meta_info']['dataset_name'] = 'posetrack18'
        with pytest.raises(ValueError, match="MMPose: dataset_name: 'posetrack18'"):
            read_content(content)

    @pytest.mark.parametrize('kind', [list, np.array])
    def test_what_the_inferencer_yields(self, kind: Any) -> None:
        joints = walk('coco', 8)
        frames = [instances(joints, t) for t in range(8)]
        for one in frames:
            one[0]['keypoints'] = kind(one[0]['keypoints'])
        batches = [dict(visualization=[], predictions=frames[t : t + 2]) for t in range(0, 8, 2)]
        np.testing.assert_allclose(read_content(batches).keypoint, joints, rtol=1e-6)

    def test_nothing_passed_in_is_changed(self) -> None:
        content = mmpose(walk('coco', 8, 2))
        before = copy.deepcopy(content)
        read_content(content)
        assert content == before

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda c: c[2].update(frame_id=1), 'entry 2: frame 1 occurs twice'),
            (lambda c: c[2].pop('instances'), "entry 2: expected an object with 'instances'"),
            (
                lambda c: c[2]['instances'][0]['keypoint_scores'].pop(),
                'entry 2: person 0, keypoint_scores: 17 joints',
            ),
            (
                lambda c: c[2]['instances'][0]['keypoints'][3].pop(),
                r'entry 2: person 0, keypoints: \[3\]: 1 entries',
            ),
            (
                lambda c: c[2]['instances'][0]['keypoint_scores'].__setitem__(0, -3),
                'entry 2: .*joint 0 is at .* score -3',
            ),
        ],
    )
    def test_damaged_predictions_are_named(self, change: Any, message: str) -> None:
        content = mmpose(walk('coco', 4))
        change(content)
        with pytest.raises(ValueError, match=f'MMPose: {message}'):
            read_content(content)


class TestFoldersOfFrames:
    """One JSON file for each frame, of several programs, with any name that has a number."""

    @pytest.mark.fault(
        'frames of AlphaPose (`sep-json`) given as recordings', '-', 'one recording, not one answer a frame'
    )
    @pytest.mark.parametrize('form', ['people', 'bodies', 'instances', 'pifpaf'])
    def test_joints_in_the_image(self, tmp_path: Path, form: str) -> None:
        joints = walk('coco' if form in ('instances', 'pifpaf') else 'openpose')
        for t in range(6):
            frame: Any = {
                'people': {
                    'version': 'AlphaPose v0.3',
                    'people': [{'pose_keypoints_2d': scored(joints[0, t])}],
                },
                'bodies': {'version': 'AlphaPose v0.3', 'bodies': [{'joints': scored(joints[0, t])}]},
                'instances': instances(joints, t),
                'pifpaf': [dict(keypoints=scored(joints[0, t]), bbox=[0, 0, 9, 9], score=0.9)],
            }[form]
            write_json(tmp_path / f'{t}.json', frame)
        write_json(tmp_path / '6.json', {form: []} if form in ('people', 'bodies') else [])
        for path in (tmp_path, tmp_path / '3.json'):
            clip = read_own(path)
            np.testing.assert_allclose(clip.keypoint[0, :6], joints[0], rtol=1e-6)
            assert clip.keypoint.shape[1] == 7
            assert not clip.keypoint[0, 6].any()

    @pytest.mark.fault(
        "AlphaPose's folder `sep-json` beside its file of all frames",
        '-',
        'one recording, however its parts are given',
    )
    def test_all_frames_in_one_file_and_in_a_folder_of_frames(self, tmp_path: Path) -> None:
        joints = walk('coco')
        folder, file = tmp_path / 'sep-json', tmp_path / 'alphapose-results.json'
        for t in range(3):
            people = [{'pose_keypoints_2d': scored(walk('openpose')[0, t])}]
            write_json(folder / f'{t}.json', {'version': 'AlphaPose v0.3', 'people': people})
        assert whole(folder / '1.json') == folder
        write_json(file, alphapose(joints, tracked=False))
        for path in (folder, folder / '1.json', file):
            assert whole(path) == file
            np.testing.assert_allclose(read_own(path).keypoint, joints, rtol=1e-6)
        frames = sorted(folder.iterdir())
        for inputs in (tmp_path, [tmp_path / '*'], [folder, file], [file, *frames], [*frames, file]):
            (one,) = find_recordings(inputs)
            assert one.path == file
        assert len(find_recordings([file, file])) == 2

    @pytest.mark.parametrize('bare', [False, True])
    def test_landmarks(self, tmp_path: Path, bare: bool) -> None:
        joints = in_space(33)
        for t, one in enumerate(joints):
            frame = landmarks(one) if bare else dict(pose_world_landmarks=[landmarks(one)])
            write_json(tmp_path / f'frame_{t + 1}.json', frame)
        clip = read_own(tmp_path)
        np.testing.assert_allclose(clip.keypoint[0], joints * (-1, -1, 1), atol=1e-6)

    def test_files_of_other_kinds_between_them_are_named(self, tmp_path: Path) -> None:
        for t in range(3):
            write_json(tmp_path / f'{t}.json', instances(walk('coco'), t))
        write_json(tmp_path / 'clip.json', mmpose(walk('coco')))
        with pytest.raises(ValueError, match=r'clip\.json is not a single frame, while others are'):
            read_own(tmp_path)


def test_frames_that_are_far_apart_show_the_same_person() -> None:
    """Numbers may be milliseconds, or every 40th frame was estimated."""
    joints = walk('coco')
    clip = read_content([dict(one, frame_id=40 * t) for t, one in enumerate(mmpose(joints))])
    np.testing.assert_allclose(clip.keypoint, joints, rtol=1e-6)


class TestAzureKinect:
    def test_meters_with_y_up(self) -> None:
        joints = in_space(32)
        clip = read_content(azure(joints, rate=15))
        np.testing.assert_allclose(clip.keypoint[0], joints * UPRIGHT, atol=1e-6)
        assert (clip.layout, clip.ids, clip.keypoint_score) == ('kinect_azure', (3,), None)
        assert clip.frame_rate == pytest.approx(15, rel=1e-4)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda f: f['bodies'][0]['joint_positions'].pop(), r'body 0, joint_positions: shape \(31, 3\)'),
            (lambda f: f['bodies'].append(f['bodies'][0]), 'frame 2: two persons have the id 3'),
            (lambda f: f.update(frame_id=0), 'entry 2: frame 0 occurs twice'),
            (lambda f: f.update(timestamp_usec=-(10**9)), 'timestamp_usec: times do not increase'),
        ],
    )
    def test_damaged_frames_are_named(self, change: Any, message: str) -> None:
        content = azure(in_space(32, 3))
        change(content['frames'][2])
        with pytest.raises(ValueError, match=f'Azure Kinect: .*{message}'):
            read_content(content)


@pytest.mark.fault('joints in meters in a file of millimeters', '-', 'refused')
def test_joints_in_another_unit_are_refused() -> None:
    for factor in (1e-3, 1e3):
        with pytest.raises(ValueError, match=r'Azure Kinect: the bones are .* m long'):
            read_content(azure(in_space(32) * factor))


def test_joints_in_space_of_mmpose_name_the_way() -> None:
    content = mmpose(walk('coco'))
    for one in content[0]['instances']:
        one['keypoints'] = in_space(17)[0].tolist()
    with pytest.raises(ValueError, match=r'person 0, keypoints: joints in space; .*--layout'):
        read_content(content)


def test_annotations_of_images_are_called_so(tmp_path: Path) -> None:
    """Also with the end of the name of OpenPose's frames."""
    content = dict(images=[dict(id=0)], annotations=[dict(image_id=0, keypoints=[1, 2, 2])], categories=[])
    for name in ('person_keypoints_val.json', 'person_keypoints.json'):
        path = write_json(tmp_path / name.removesuffix('.json') / name, content)
        for read in (read_file, read_own):
            with pytest.raises(UserError, match=r'^annotations of a data set of images.*JSON list.*\.npy'):
                read(path)
    with pytest.raises(UserError, match=r"found \{'a': 1\}, expected JSON of OpenPose"):
        read_own(write_json(tmp_path / 'x.json', dict(a=1)))


@pytest.mark.parametrize('content', [{}, [], {'a': 1}, [{'a': 1}], 5, 'x', None, [[]], [[[]]], [np.ones(3)]])
def test_other_contents_have_no_format(content: Any) -> None:
    assert not is_content(content)
    with pytest.raises(UserError, match=r'^found .*, expected JSON of OpenPose, AlphaPose, MMPose'):
        read_content(content)


def test_all_layouts_are_known() -> None:
    from mmdualhead.datasets.poses.frames import LAYOUTS

    assert all(SKELETONS[layout].num_joints <= joints for (joints, _), layout in LAYOUTS.items())


def test_poses_of_mmaction2_are_read_from_json_too(tmp_path: Path) -> None:
    """A list of frames, as its ``inference_skeleton`` takes them; persons absent from a frame are zero."""
    joints = np.random.default_rng(0).random((3, 2, 17, 2)).astype(np.float32) * 100
    frames = [dict(keypoints=one.tolist(), keypoint_scores=np.ones((2, 17)).tolist()) for one in joints]
    frames[1] = dict(keypoints=joints[1, :1].tolist())
    path = write_json(tmp_path / 'poses.json', frames)
    for clip in (read_own(path, PICTURE), read_content(frames, PICTURE)):
        np.testing.assert_array_equal(clip.keypoint[0], joints[:, 0])
        assert clip.keypoint.any((2, 3)).tolist() == [[True] * 3, [True, False, True]]
        assert clip.img_shape == PICTURE
    for damage, message in ((dict(a=1), "with 'keypoints'"), (dict(keypoints=[[{}]]), 'keypoints: float')):
        with pytest.raises(UserError, match=message):
            read_own(write_json(path, [frames[0], damage]), PICTURE)

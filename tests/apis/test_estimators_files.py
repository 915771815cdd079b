"""Files of estimators go through the same entrance as all recordings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.fit import fit
from mmdualhead.apis.readers import read_file
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.apis.streaming import StreamRecognizer
from mmdualhead.datasets.converters.custom import read_recording, scan
from mmdualhead.datasets.converters.raw_clip import read_clip
from mmdualhead.datasets.recording import Recording
from mmdualhead.skeletons import get_skeleton
from tests.apis.trained import save_trained, small_config
from tests.datasets.poses.estimators import (
    PICTURE,
    alphapose,
    azure,
    in_space,
    instances,
    landmarks,
    mmpose,
    walk,
    write_json,
    write_openpose,
)


def standing_azure(frames: int = 40) -> np.ndarray:
    """(T, V, 3) of a person for the camera: y down, meters."""
    joints = in_space(32, frames) * (1, 0.3, 1)
    joints[:, 0], joints[:, 26] = (0, 0.4, 2.5), (0, -0.3, 2.5)
    return joints


HEAD = list(range(11))
"""MediaPipe's landmarks of the head."""


class TestFinding:
    def test_folders_of_frames_are_recordings(self, tmp_path: Path) -> None:
        joints = walk('openpose_25', 5)
        for name in ('b', 'a/c', 'a.1'):
            write_openpose(tmp_path / name, joints)
        write_json(tmp_path / 'a' / 'x.json', mmpose(walk('coco')))
        found = [one.read() for one in find_recordings(tmp_path)]
        assert [(one.name, one.layout) for one in found] == [
            ('c', 'openpose_25'),
            ('x', 'coco'),
            ('a.1', 'openpose_25'),
            ('b', 'openpose_25'),
        ]
        assert found[0].where == str(tmp_path / 'a' / 'c')

    @pytest.mark.fault('each frame of a folder given as a recording', '-', 'one recording')
    def test_frames_one_by_one_are_one_recording(self, tmp_path: Path) -> None:
        write_openpose(tmp_path / 'v', walk('openpose_25', 5))
        write_openpose(tmp_path / 'w', walk('openpose_25', 5))
        for inputs in (sorted(tmp_path.glob('*/*.json')), str(tmp_path / '*' / '*.json')):
            found = [one.read() for one in find_recordings(inputs)]
            assert [one.name for one in found] == ['v', 'w']
            assert found[0].keypoint.shape == (1, 5, 25, 2)

    def test_python_objects(self) -> None:
        joints = walk('coco', 6, 2)
        results = [dict(predictions=[instances(joints, t)], visualization=[]) for t in range(6)]
        for inputs in (results, iter(results), [results], mmpose(joints), alphapose(joints, tracked=True)):
            (one,) = find_recordings(inputs, img_shape=PICTURE)
            np.testing.assert_allclose(one.read().keypoint, joints, rtol=1e-6)
        assert len(find_recordings([results, mmpose(joints)])) == 2

    def test_humanml3d(self, tmp_path: Path) -> None:
        (tmp_path / 'new_joints').mkdir()
        np.save(tmp_path / 'new_joints' / '000001.npy', in_space(22))
        found = read_file(tmp_path / 'new_joints' / '000001.npy')
        assert (found.layout, found.frame_rate) == ('smpl_22', 20)

    def test_landmarks_need_the_size_of_the_picture(self, tmp_path: Path) -> None:
        pixels = np.concatenate([walk('mediapipe')[0] / PICTURE[::-1], np.zeros((6, 33, 1))], -1)
        path = write_json(tmp_path / 'x.json', list(map(landmarks, pixels)))
        (one,) = find_recordings(path, PICTURE)
        assert one.read().img_shape == PICTURE
        (one,) = find_recordings(path)
        with pytest.raises(ValueError, match='img_shape: picture landmarks are fractions of the image'):
            one.read()


class TestPrediction:
    def test_joints_in_space(self, inferencer, tmp_path: Path) -> None:
        path = write_json(tmp_path / 'azure.json', azure(standing_azure()))
        (answer,) = inferencer(path)['predictions']
        assert answer.name == 'azure'
        assert answer.keypoint.shape == (1, 40, 20, 3)
        assert answer.keypoint[0, 0, 3, 1] > answer.keypoint[0, 0, 0, 1], 'the head is above the hip'

    @pytest.mark.fault('scores of joints in space become a fourth coordinate', '-', 'left out')
    def test_scores_of_joints_in_space_are_left_out(self, inferencer, tmp_path: Path) -> None:
        joints = in_space(33, 40)
        joints[:, HEAD, 1] -= 1.2
        (answer,) = inferencer(write_json(tmp_path / 'x.json', list(map(landmarks, joints))))['predictions']
        assert answer.keypoint.shape == (1, 40, 20, 3)

    def test_joints_in_an_image_need_another_model(self, inferencer, tmp_path: Path) -> None:
        path = write_json(tmp_path / 'x.json', mmpose(walk('coco')))
        with pytest.raises(
            ValueError, match=r'x\.json: .*2 coordinates.*need a model that was trained on such'
        ):
            inferencer(path)

    def test_joints_in_an_image(self, tmp_path: Path) -> None:
        checkpoint = save_trained(tmp_path / 'x.pth', small_config('dualhead_ntu60_xsub_2d_j'))
        joints = walk('coco', 20, 2)
        results = [dict(predictions=[instances(joints, t)]) for t in range(20)]
        array = dict(keypoint=joints, keypoint_score=np.full(joints.shape[:3], 0.75), img_shape=PICTURE)
        inputs = [
            write_json(tmp_path / 'm.json', mmpose(joints)),
            write_json(tmp_path / 'a.json', alphapose(joints, tracked=True)),
            write_openpose(tmp_path / 'o', walk('openpose_25', 20)),
            results,
            dict(array, frame_dir='x', total_frames=20),
        ]
        answers = SkeletonInferencer(checkpoint, device='cpu')(inputs, img_shape=PICTURE)['predictions']
        assert [answer.name for answer in answers] == ['m', 'a', 'o', 'input 3', 'x']
        for i in (0, 1, 3):
            np.testing.assert_allclose(answers[i].scores['fused'], answers[4].scores['fused'], atol=1e-5)

    def test_a_stream(self, inferencer, tmp_path: Path) -> None:
        recording = read_file(write_json(tmp_path / 'azure.json', azure(standing_azure(90), rate=15)))
        stream = StreamRecognizer(inferencer, layout=None, window=1, hop=1)
        frames = list(recording.frames())
        assert [time for time, _ in frames[:3]] == pytest.approx([0, 1 / 15, 2 / 15], rel=1e-4)
        assert {tuple(persons) for _, persons in frames} == {(3,)}
        converted = fit(recording, inferencer.models[0].input)
        for time, persons in converted.frames():
            stream.push(persons, time)
        assert {segment.persons for segment in stream.finish()} == {(3,)}

    def test_frames_of_joints_in_an_image(self) -> None:
        keypoint = walk('coco', 3, 2)
        keypoint[1, 1] = 0
        score = np.full(keypoint.shape[:3], 0.5)
        one = Recording(name='x', keypoint=keypoint, keypoint_score=score, ids=(4, 7))
        times, persons = zip(*one.frames(frame_rate=10), strict=True)
        assert times == pytest.approx((0, 0.1, 0.2))
        assert [tuple(frame) for frame in persons] == [(4, 7), (4,), (4, 7)]
        np.testing.assert_array_equal(persons[0][7], np.c_[keypoint[1, 0], score[1, 0]])
        with pytest.raises(ValueError, match='x: frame_rate: it is not in the recording'):
            next(one.frames())


class TestDataOfOnesOwn:
    @pytest.fixture
    def table(self, tmp_path: Path) -> Path:
        write_openpose(tmp_path / 'src' / 'v1', walk('openpose_25', 5))
        write_openpose(tmp_path / 'src' / 'v2', walk('openpose_25', 5))
        write_json(tmp_path / 'src' / 'a.json', alphapose(walk('halpe_26', 7, 2), tracked=True))
        with (tmp_path / 'labels.csv').open('w') as file:
            csv.writer(file).writerows([('clip', 'label', 'split'), ('v1', 0, 'train'), ('a.json', 1, 'val')])
        return tmp_path / 'labels.csv'

    def test_folders_and_files(self, table: Path) -> None:
        dataset = scan(table.parent / 'src', table, 'openpose', img_shape=PICTURE)
        first, second = (
            read_clip(one, dataset.read, None, get_skeleton('openpose')) for one in dataset.recordings
        )
        assert not first[0].finding
        assert not second[0].finding
        assert first[1]['keypoint'].shape == (1, 5, 18, 2)
        assert second[1]['keypoint'].shape == (2, 7, 18, 2)
        assert first[1]['img_shape'] == list(PICTURE)
        assert first[1]['keypoint_score'].shape == (1, 5, 18)
        assert dict(dataset.left_out) == {'v2': 'not in the label table'}

    def test_the_layout_must_be_derivable(self, table: Path) -> None:
        file = Recording('v1', table.parent / 'src' / 'v1', 0)
        with pytest.raises(ValueError, match="'openpose_25' cannot be converted to 'kinect_v1'"):
            read_recording(file, get_skeleton('kinect_v1'))

    def test_joints_in_space_are_not_scores(self, tmp_path: Path) -> None:
        path = write_json(tmp_path / 'azure.json', azure(standing_azure()))
        with pytest.raises(
            ValueError, match="joints in space of layout 'kinect_azure', while layout 'coco' is flat"
        ):
            read_recording(Recording('azure', path, 0), get_skeleton('coco'))
        clip = read_recording(Recording('azure', path, 0), get_skeleton('kinect_v1'))
        assert clip.keypoint.shape == (1, 40, 20, 3)

    def test_another_file_in_a_folder_is_noticed(self, table: Path) -> None:
        from mmdualhead.datasets.converters.unfinished import state_of

        file = Recording('v1', table.parent / 'src' / 'v1', 0)
        before = state_of(file)
        path = next(file.path.iterdir())
        path.write_text(path.read_text() + ' ')
        assert state_of(file) != before

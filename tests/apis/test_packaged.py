"""The model that the package carries."""

from __future__ import annotations

import resource
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.streaming import StreamRecognizer
from mmdualhead.apis.trained import PACKAGED, PACKAGED_2D
from mmdualhead.datasets import VirtualCamera
from mmdualhead.datasets.converters.utd_mhad import CLASSES
from mmdualhead.datasets.recording import Recording
from mmdualhead.evaluation.scores import FUSED
from tests.datasets.converters.raw_files import write_utd

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / 'shared' / 'data' / 'utd_mhad'
README = ROOT / 'README.md'
SECONDS = 4.0


@pytest.fixture(scope='module')
def packaged():
    return SkeletonInferencer(device='cpu')


def test_it_is_small_and_says_what_it_is(packaged):
    (model,) = packaged.models
    assert PACKAGED.stat().st_size + PACKAGED_2D.stat().st_size < 3_000_000
    assert (model.stream, model.skeleton.name, model.classes) == ('j', 'kinect_v1', CLASSES)
    assert 0.9 < model.meta['accuracy'] < 1
    assert len(model.meta['sha256']) == 64


def test_the_first_lines_of_the_readme_work(capsys):
    program = README.read_text().split('```python\n')[1].split('```')[0]
    exec(program, {})
    printed = capsys.readouterr().out
    assert printed.startswith('[Guess(label=')
    assert "name='sit to stand'" in printed.partition('),')[0]


def test_the_example_is_answered(packaged, capsys, monkeypatch):
    (answer,) = packaged(packaged.example())['predictions']
    assert answer.class_name == 'sit to stand'
    assert answer.confidence > 0.9
    assert answer.notes == ()
    monkeypatch.setattr(sys, 'argv', ['predict', '--example'])
    runpy.run_path(str(ROOT / 'tools' / 'predict.py'), run_name='__main__')
    assert f'stand_up   sit to stand {100 * answer.confidence:.1f}, ' in capsys.readouterr().out


def test_the_example_is_what_its_lines_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(PACKAGED.with_name('README.md').read_text().split('```python\n')[1].split('```')[0], {})
    made, shipped = np.load('stand_up.npy'), np.load(SkeletonInferencer.example())
    np.testing.assert_allclose(made, shipped, rtol=0, atol=1.5e-4)  # a digit may be rounded otherwise


class TestJointsInImages:
    """What has no depth goes to the model that virtual cameras trained."""

    @pytest.fixture
    def stand_up(self):
        return np.load(SkeletonInferencer.example())

    def seen(self, stand_up, yaw=0.0, layout='body_13', **errors):
        np.random.seed(0)
        return VirtualCamera(yaw=yaw, target=layout, **errors)(dict(keypoint=stand_up))

    def test_it_says_what_it_is(self, packaged):
        (model,) = packaged.for_joints(in_space=False).models
        assert (model.stream, model.skeleton.name, model.classes) == ('j+b+jm', 'body_13', CLASSES)
        assert (model.input.normalization, model.input.needs_picture) == ('body', False)
        assert 0.88 < model.meta['accuracy'] < 1
        in_space, in_images = packaged.describe()
        assert in_space.startswith('for joints in space: ')
        assert 'virtual cameras' in in_images
        assert 'degrees' in in_images

    @pytest.mark.parametrize('yaw', [-45, 0, 30])
    def test_the_example_is_answered_from_every_side(self, packaged, stand_up, yaw):
        (answer,) = packaged(self.seen(stand_up, yaw)['keypoint'], layout='body_13')['predictions']
        assert answer.class_name == 'sit to stand'
        assert answer.skeleton.name == 'body_13'

    def test_estimators_errors_do_not_change_the_answer(self, packaged, stand_up):
        seen = self.seen(stand_up, noise=0.02, lost=0.05)
        with_scores = np.concatenate([seen['keypoint'], seen['keypoint_score'][..., None]], -1)
        (answer,) = packaged(with_scores, layout='body_13')['predictions']
        assert answer.class_name == 'sit to stand'

    def test_neither_the_size_of_the_image_nor_of_the_person_enters(self, packaged, stand_up):
        joints = self.seen(stand_up)['keypoint']
        answers = [
            packaged(one, layout='body_13', img_shape=shape)['predictions'][0]
            for one, shape in ((joints, None), (joints, (1080, 1920)), (3 * joints + 500, (9, 9)))
        ]
        for answer in answers[1:]:
            np.testing.assert_allclose(answer.scores['fused'], answers[0].scores['fused'], atol=1e-4)

    def test_a_table_without_a_header_is_in_images_if_its_layout_says_so(self, packaged, tmp_path):
        x = np.random.default_rng(0).uniform(100, 300, (30, 33, 2)).cumsum(0).clip(0, 450)
        np.savetxt(tmp_path / 'x.csv', x.reshape(30, 66), delimiter=',')
        given = dict(layout='mediapipe', img_shape=(480, 640))
        scores = [packaged(one, **given)['predictions'][0].scores[FUSED] for one in (x, tmp_path / 'x.csv')]
        np.testing.assert_allclose(*scores, atol=1e-6)

    def test_recordings_with_and_without_depth_in_one_call(self, packaged, stand_up):
        flat = dict(name='flat', keypoint=self.seen(stand_up)['keypoint'], layout='body_13')
        space = dict(name='space', keypoint=stand_up, layout='kinect_v1')
        mixed = [Recording(**one) for one in (space, flat, space, flat)]
        together = packaged(mixed, batch_size=3)['predictions']
        assert [answer.name for answer in together] == ['space', 'flat', 'space', 'flat']
        assert [answer.skeleton.name for answer in together] == ['kinect_v1', 'body_13'] * 2
        for answer, recording in zip(together, mixed, strict=True):
            (alone,) = packaged(recording)['predictions']
            np.testing.assert_allclose(answer.scores['fused'], alone.scores['fused'], atol=1e-5)

    def test_a_model_that_was_given_is_not_exchanged(self, stand_up):
        given = SkeletonInferencer(PACKAGED, device='cpu')
        assert given.for_joints(in_space=False) is given
        with pytest.raises(ValueError, match='2 coordinates per joint, the model expects x, y, z'):
            given(stand_up[..., :2])

    def test_from_the_command_line(self, stand_up, tmp_path, capsys, monkeypatch):
        np.save(tmp_path / 'seen.npy', self.seen(stand_up)['keypoint'])
        arguments = ['predict', str(tmp_path / 'seen.npy'), '--layout', 'body_13', '--top', '1']
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(str(ROOT / 'tools' / 'predict.py'), run_name='__main__')
        printed = capsys.readouterr()
        assert 'sit to stand' in printed.out
        assert 'for joints in images' in printed.err

    def test_a_stream_of_joints_in_images(self, packaged, stand_up):
        recognizer = StreamRecognizer(packaged, window=1.0, hop=0.1, layout='body_13')
        joints = self.seen(stand_up)['keypoint'][0]
        pushed = (recognizer.push({0: frame}, t / 30) for t, frame in enumerate(joints))
        segments = next(filter(None, pushed))
        (answer,) = packaged(recognizer.window((0,)), layout='body_13')['predictions']
        assert segments[0].score == pytest.approx(answer.confidence, abs=1e-5)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason='the recordings are not at hand')
def test_it_knows_what_people_do(packaged):
    """Subject 2 is not trained on; one recording of every third action."""
    files = [RECORDINGS / f'a{action}_s2_t1_skeleton.mat' for action in range(1, 28, 3)]
    answers = packaged(files, batch_size=9)['predictions']
    assert sum(answer.label == answer.true_label for answer in answers) >= 8


@pytest.mark.heavy
def test_a_cold_start_takes_less_than_four_seconds(recording, tmp_path):
    """Of processor time, import included."""
    write_utd(tmp_path / 'x.mat', recording(60))
    tool = ROOT / 'tools' / 'predict.py'
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(tool), str(tmp_path / 'x.mat')], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS

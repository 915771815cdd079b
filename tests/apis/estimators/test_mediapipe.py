"""MediaPipe on a clip with two persons: MMAction2's ``demo_skeleton.mp4``, and a bundle of MediaPipe's.

MMDUALHEAD_CLIP=demo_skeleton.mp4 MMDUALHEAD_BUNDLE=pose_landmarker_full.task python -m pytest -m video
"""

import json
import os
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.estimators import MediaPipePose
from mmdualhead.apis.frames import Frames
from mmdualhead.apis.streaming import StreamRecognizer
from mmdualhead.apis.video import watch
from mmdualhead.datasets.plausibility import judge_posture
from mmdualhead.errors import UserError
from mmdualhead.skeletons import convert_layout, get_skeleton

pytestmark = pytest.mark.video

CLIP, BUNDLE = (os.environ.get(f'MMDUALHEAD_{name}') for name in ('CLIP', 'BUNDLE'))
if not (CLIP and BUNDLE):
    pytestmark = [pytestmark, pytest.mark.skip('needs $MMDUALHEAD_CLIP and $MMDUALHEAD_BUNDLE')]


@pytest.fixture(scope='module')
def seen():
    """The frames of the clip, and for each the persons that MediaPipe finds."""
    estimator = MediaPipePose(BUNDLE)
    frames = Frames(CLIP)
    found = [(time, estimator.estimate(image, time)) for image, time in frames]
    estimator.close()
    return frames, found


def test_two_persons_are_in_every_frame_within_the_picture(seen):
    frames, found = seen
    assert {len(persons) for _, persons in found} == {2}
    places = np.array([[person.place for person in persons] for _, persons in found])
    scores = np.array([[person.scores for person in persons] for _, persons in found])
    inside = ((places >= 0) & (places < (frames.width, frames.height))).all(-1)
    assert inside.all()
    assert scores.mean() > 0.6


def test_joints_stand_upright_in_meters_with_left_on_the_left(seen):
    """As the packaged model expects them: what the checks of recordings say of them."""
    _, found = seen
    kinect = get_skeleton('kinect_v1')
    joints = np.array([[person.joints for person in persons] for _, persons in found[:40]])
    for person in joints.swapaxes(0, 1):
        posture = judge_posture(convert_layout(person[None], 'mediapipe', kinect), kinect)
        assert posture == {'y is up': True, 'left is left': True, 'lengths are meters': True}


def test_persons_stand_side_by_side_at_first_and_hug_at_last(seen):
    _, found = seen
    apart = [
        np.linalg.norm(np.subtract(*(person.joints[23:25].mean(0)[:2] for person in persons)))
        for _, persons in found
    ]
    assert 0.4 < np.median(apart[:20]) < 1.0
    assert np.median(apart[50:65]) < np.median(apart[:20])


def test_ids_are_the_same_from_beginning_to_end():
    recognizer = StreamRecognizer(SkeletonInferencer(), window=2.0, layout='mediapipe', unit='m')
    frames, estimator = Frames(CLIP), MediaPipePose(BUNDLE)
    found = watch(frames, estimator, recognizer, keep_poses=True)
    estimator.close()
    assert {id: sight.frames for id, sight in found.sights.items()} == {0: frames.count, 1: frames.count}
    assert max(np.diff(found.times)) > 0.1  # the clip's rate varies
    middles = np.array([[persons[id].joints[:, 0].mean() for id in (0, 1)] for persons in found.poses])
    assert abs(np.diff(middles, axis=0)).max() < 0.05 * frames.width
    assert len(set(np.sign(middles[:, 0] - middles[:, 1]))) == 1  # nobody passes the other


def test_the_command_writes_all_it_promises(tmp_path, monkeypatch, capfd):
    pytest.importorskip('plotly')
    out = tmp_path / 'found.json', tmp_path / 'labeled.mp4', tmp_path / 'page'
    options = ('--json', out[0], '--out', out[1], '--view', out[2], '--pose-model', BUNDLE, '--threshold', 0)
    monkeypatch.setattr(sys, 'argv', ['video.py', CLIP, *map(str, options)])
    runpy.run_path(str(Path(__file__).parents[3] / 'tools' / 'video.py'), run_name='__main__')
    found, film = json.loads(out[0].read_text()), cv2.VideoCapture(str(out[1]))
    count = 0
    while film.read()[0]:
        count += 1
    assert count == found['frames'] == Frames(CLIP).count
    assert len(found['persons']) == 2
    assert {person for segment in found['segments'] for person in segment['persons']} == {0, 1}
    assert (out[2] / 'index.html').is_file()
    shown = capfd.readouterr().err
    assert 'W0000' not in shown  # what MediaPipe's libraries tell of themselves
    assert 'WARNING' not in shown


def test_another_bundle_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / 'other.task', 'w') as archive:
        archive.writestr('hand.tflite', b'')
    with pytest.raises(UserError, match=r'other\.task is not a PoseLandmarker'):
        MediaPipePose(tmp_path / 'other.task')

import csv
import json
import runpy
import signal
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.frames import Frames
from mmdualhead.apis.streaming import Segment, StreamRecognizer
from mmdualhead.apis.trained import PACKAGED_2D
from mmdualhead.apis.video import Sight, Watched, clock, extend, make_recognizer, watch
from mmdualhead.errors import UserError
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.skeletons import get_skeleton
from tests.apis.trained import save_trained, small_config
from tests.apis.videos import FRAMES, RATE, SIZE, Interrupted, dancers, register, replay, write_video

TOOL = Path(__file__).parents[2] / 'tools' / 'video.py'


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A video."""
    return write_video(tmp_path_factory.mktemp('video') / 'clip.mp4')


@pytest.fixture
def run(monkeypatch, checkpoint, recording):
    """Run the command with the estimator ``Dancers``."""
    register(monkeypatch, 'Dancers', lambda: replay(**dancers(recording)))

    def run(*arguments, estimator='Dancers', models=()):
        given = [
            *map(str, arguments),
            '--model',
            str(checkpoint),
            *map(str, models),
            '--estimator',
            estimator,
            '--threshold',
            '0',
        ]
        monkeypatch.setattr(sys, 'argv', ['video.py', *given])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


def count_frames(path):
    film, count = cv2.VideoCapture(str(path)), 0
    while film.read()[0]:
        count += 1
    return count


def test_persons_are_labeled_as_their_recordings_are(clip, inferencer, recording):
    """One window over the whole video is the recording of each person."""
    scene = dancers(recording)
    recognizer = StreamRecognizer(inferencer, window=FRAMES / RATE - 1 / RATE, unit='m')
    found = watch(Frames(clip), replay(**scene), recognizer)
    assert list(found.sights) == [0, 1]
    assert [sight.frames for sight in found.sights.values()] == [FRAMES, FRAMES]
    keypoint = scene['keypoint'][:, : recognizer.frames]
    for person, segment in enumerate(sorted(found.segments, key=lambda one: one.persons)):
        (answer,) = inferencer.iterate([keypoint[person]], unit='m')
        assert segment.persons == (person,)
        assert segment.label == answer.label
        assert segment.score == pytest.approx(answer.scores[FUSED].max(), abs=0.02)
        assert (segment.begin, segment.end) == (0, found.times[-1])


def test_a_video_becomes_a_table_json_csv_a_film_and_a_page(clip, run, tmp_path, capsys, inferencer):
    pytest.importorskip('plotly')
    out = {name: tmp_path / 'new' / name for name in ('found.json', 'found.csv', 'film.mp4', 'page')}
    run(
        clip,
        '--json',
        out['found.json'],
        '--csv',
        out['found.csv'],
        '--out',
        out['film.mp4'],
        '--view',
        out['page'],
    )
    shown = capsys.readouterr()
    found = json.loads(out['found.json'].read_text())
    assert (found['frames'], found['stopped'], found['img_shape']) == (FRAMES, False, list(SIZE))
    assert [person['id'] for person in found['persons']] == [0, 1]
    assert found['segments']
    for segment in found['segments']:
        assert segment['class_name'] == inferencer.classes[segment['label']]
        assert 0 <= segment['begin'] < segment['end'] <= found['duration']
    rows = list(csv.DictReader(out['found.csv'].open()))
    assert [row['class'] for row in rows] == [segment['class_name'] for segment in found['segments']]
    assert len(shown.out.splitlines()) == 2 + len(rows)
    assert all(row['class'] in shown.out for row in rows)
    assert f'{FRAMES} frames' in shown.err
    assert count_frames(out['film.mp4']) == FRAMES
    assert rows[0]['class'] in (out['page'] / 'index.html').read_text()
    assert not list(tmp_path.glob('**/.film*'))


def test_every_stream_is_named(clip, run, tmp_path, checkpoint):
    bones = save_trained(tmp_path / 'bones.pth', small_config('dualhead_utd_mhad_b'))
    run(clip, '--json', tmp_path / 'found.json', '--window', 1, models=[bones])
    model = json.loads((tmp_path / 'found.json').read_text())['model']
    assert str(checkpoint) in model
    assert str(bones) in model


def test_labels_of_a_person_leave_no_gaps(clip, run, tmp_path):
    run(clip, '--json', tmp_path / 'found.json', '--window', 1)
    found = json.loads((tmp_path / 'found.json').read_text())
    for person in (0, 1):
        own = [one for one in found['segments'] if one['persons'] == [person]]
        edges = [0, *(one['end'] for one in own)]
        assert [one['begin'] for one in own] == edges[:-1]
        assert edges[-1] == found['duration']


def test_interrupting_ends_with_what_was_found(clip, run, tmp_path, monkeypatch, recording, capsys):
    make = type('Now', (Interrupted,), dict(act=staticmethod(lambda: signal.raise_signal(signal.SIGINT))))
    register(monkeypatch, 'Interrupted', lambda: replay(**dancers(recording), kind=make))
    before = signal.getsignal(signal.SIGINT)
    out = ('--json', tmp_path / 'found.json', '--out', tmp_path / 'film.mp4', '--window', 1)
    with pytest.raises(SystemExit) as end:
        run(clip, *out, estimator='Interrupted')
    assert end.value.code == 130
    assert signal.getsignal(signal.SIGINT) == before
    found = json.loads((tmp_path / 'found.json').read_text())
    assert (found['stopped'], found['frames']) == (True, make.at + 1)
    assert found['segments']
    assert count_frames(tmp_path / 'film.mp4') == make.at + 1
    assert 'stopped after 0:01.3' in capsys.readouterr().err


@pytest.mark.fault('a film that cannot be drawn to its end', '-', 'JSON and CSV are there already')
def test_what_was_found_is_written_before_the_film(clip, run, tmp_path, monkeypatch):
    monkeypatch.setattr('mmdualhead.apis.video.draw_film', full_disk)
    out = ('--json', tmp_path / 'found.json', '--csv', tmp_path / 'found.csv', '--out', tmp_path / 'film.mp4')
    with pytest.raises(SystemExit, match='full'):
        run(clip, *out, '--window', 1)
    assert json.loads((tmp_path / 'found.json').read_text())['segments']
    assert (tmp_path / 'found.csv').exists()
    assert not (tmp_path / 'film.mp4').exists()


def full_disk(*_):
    raise OSError(28, 'full')


@pytest.mark.fault('a film named like its video', 'the video is overwritten', 'refused')
def test_the_video_is_not_overwritten(clip, run):
    before = clip.read_bytes()
    with pytest.raises(SystemExit, match=r'clip\.mp4 is an input, which would be overwritten'):
        run(clip, '--out', clip)
    assert clip.read_bytes() == before


def test_a_camera_ends_by_an_interruption_and_its_film_has_its_rate(
    clip, run, tmp_path, monkeypatch, recording
):
    make = type('Now', (Interrupted,), dict(act=staticmethod(lambda: signal.raise_signal(signal.SIGINT))))
    register(monkeypatch, 'Interrupted', lambda: replay(**dancers(recording), kind=make))
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, 'VideoCapture', lambda name: real(str(clip) if name == 0 else name))
    with pytest.raises(SystemExit) as end:
        run(0, '--json', tmp_path / 'found.json', '--out', tmp_path / 'film.mp4', estimator='Interrupted')
    assert end.value.code == 0
    assert json.loads((tmp_path / 'found.json').read_text())['frames'] == make.at + 1
    assert count_frames(tmp_path / 'film.mp4') == make.at + 1


def test_joints_of_another_program_replace_the_estimator(clip, run, tmp_path, recording):
    scene = dancers(recording)
    np.save(tmp_path / 'poses.npy', scene['keypoint'])
    run(clip, '--poses', tmp_path / 'poses.npy', '--layout', 'kinect_v1', '--json', tmp_path / 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert len(found['persons']) == 2
    assert found['poses'] == str(tmp_path / 'poses.npy')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.mp4'], r'missing\.mp4: no such file'),
        (['CLIP', '--out', 'film.gif'], r'film\.gif: films are written as \.mp4, \.webm, \.avi'),
        (['CLIP', '--out', '/dev/null/film.mp4'], r'film\.mp4 could not be written'),
        (['CLIP', '--json', '/dev/null/out.json'], r'out\.json could not be written'),
        (['CLIP', '--estimator', 'Nobody'], "no estimator 'Nobody'"),
        (['CLIP', '--hop', '-1'], 'hop is -1.0'),
        (['CLIP', '--pair-distance', '1'], 'pair_distance: the model takes one person'),
    ],
)
def test_faults_are_told_in_one_line_before_the_work(clip, run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    arguments = [str(clip) if one == 'CLIP' else one for one in arguments]
    estimator = arguments.pop() if '--estimator' in arguments else 'Dancers'
    arguments = [one for one in arguments if one != '--estimator']
    with pytest.raises(SystemExit, match=f'^error: .*{message}.*$') as end:
        run(*arguments, estimator=estimator)
    assert len(str(end.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_codec_that_opencv_lacks_is_named(clip, run, tmp_path, monkeypatch):
    from mmdualhead.visualization import video

    monkeypatch.setitem(video.CODECS, '.mp4', 'zzzz')
    with pytest.raises(SystemExit, match=r'no codec zzzz; try another of \.webm, \.avi'):
        run(clip, '--out', tmp_path / 'film.mp4')
    assert not list(tmp_path.iterdir())


def test_pixels_are_refused_before_a_model_of_joints_in_space(inferencer):
    estimator = replay(np.ones((1, 5, 17, 2)), 'coco')
    with pytest.raises(UserError, match='Replay finds joints in the image'):
        make_recognizer(inferencer, estimator)


def test_models_of_joints_in_the_image_get_the_pixels(clip, recording):
    """The packaged one, by default for an estimator of pixels, and on demand for one of joints in space."""
    scene = dancers(recording)
    flat = replace(get_skeleton('kinect_v1'), flat=True, up=None, across=None)
    found = []
    for model, estimator in (
        (None, replay(scene['image'], flat)),
        (PACKAGED_2D, replay(**scene)),
    ):
        frames = Frames(clip)
        recognizer = make_recognizer(
            SkeletonInferencer(model), estimator, window=2.9, img_shape=frames.img_shape
        )
        assert recognizer.model.source == PACKAGED_2D
        found.append([(one.persons, one.label) for one in watch(frames, estimator, recognizer).segments])
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_a_film_of_joints_without_pixels_is_refused(clip, inferencer, recording):
    estimator = replay(recording(FRAMES), 'kinect_v1')
    with pytest.raises(UserError, match='Replay does not tell where joints are in the image'):
        watch(Frames(clip), estimator, make_recognizer(inferencer, estimator), keep_poses=True)


def test_persons_that_are_seen_briefly_have_no_label(clip, inferencer, recording):
    scene = dancers(recording)
    scene['keypoint'][1, 20:] = 0
    found = watch(Frames(clip), replay(**scene), StreamRecognizer(inferencer, window=1, unit='m'))
    assert list(found.unlabeled) == [1]
    assert found.unlabeled[1].frames == 20


def test_nobody_is_found_in_an_empty_scene(clip, run, recording, monkeypatch, capsys):
    scene = {
        name: 0 * value if name in ('keypoint', 'image') else value
        for name, value in dancers(recording).items()
    }
    register(monkeypatch, 'Empty', lambda: replay(**scene))
    run(clip, estimator='Empty')
    assert 'no person was found' in capsys.readouterr().err


def segment(label, begin, end, persons=(0,)):
    return Segment(persons=persons, label=label, name=str(label), begin=begin, end=end, score=0.5)


def test_labels_last_from_where_persons_come_to_where_they_go():
    """Windows of 2 s every half second: the first one stands for 0.75 s to 1.25 s after a person came."""
    sights = {0: Sight(1, 10), 1: Sight(2, 6)}
    given = [segment(1, 1.75, 4), segment(2, 4, 7), segment(1, 3, 5, persons=(0, 1))]
    found = extend(given, sights, reach=1.5)
    expected = [((0,), 1, 4), ((0, 1), 2, 6), ((0,), 4, 7)]
    assert [(one.persons, one.begin, one.end) for one in found] == expected


def test_ids_of_any_kind_are_written():
    ids = np.int64(7), 'left'
    segments = [Segment(persons=ids, label=0, name='clap', begin=0.0, end=1.0, score=0.5)]
    sights = {id: Sight(0.0, 1.0, 3) for id in ids}
    found = json.loads(json.dumps(Watched(times=[0.0], sights=sights, segments=segments).to_dict()))
    assert found['segments'][0]['persons'] == [one['id'] for one in found['persons']] == [7, 'left']


def test_times_are_read_like_a_clock():
    assert [clock(time) for time in (0, 9.96, 62.5, 3600)] == ['0:00.0', '0:10.0', '1:02.5', '60:00.0']


def test_a_single_frame_has_no_rate():
    assert Watched(times=[0.0]).frame_rate is None

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.streaming import (
    BATCH,
    NOTHING,
    STREAM_MODEL,
    Segment,
    StreamRecognizer,
    calibrate,
    frame_labels,
)
from mmdualhead.apis.trained import PACKAGED_2D
from mmdualhead.datasets.poses import Person
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.scores import FUSED, LabeledScores
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import COCO, KINECT_V1
from tests.apis.test_fit import body, pixels
from tests.apis.trained import save_trained, small_config

ROOT = Path(__file__).parents[2]


class Stand:
    """Answers by the height of the first joint in the last frame: below 1 class 0, else class 1."""

    classes = ('low', 'high')
    num_person = 2
    skeleton = KINECT_V1
    input = NetworkInput(skeleton=KINECT_V1, num_person=2)

    def __init__(self, confidence=0.9):
        self.models = [self]
        self.confidence = confidence
        self.seen = []

    def for_joints(self, in_space):  # noqa: ARG002
        return self

    def iterate(self, recordings, batch_size, **options):  # noqa: ARG002
        for window in [recording.keypoint for recording in recordings]:
            self.seen.append(window)
            scores = np.full(2, 1 - self.confidence)
            scores[int(window[0, -1, 0, 0] >= 1)] = self.confidence
            yield Answer(
                name='', scores={FUSED: scores}, classes=self.classes, keypoint=window, skeleton=KINECT_V1
            )


def joints(value):
    return np.full((20, 3), value, np.float32)


def test_an_uneven_rate_is_resampled_to_the_models():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=1, hop=1, frame_rate=10)
    rng = np.random.default_rng(0)
    for time in np.cumsum(rng.uniform(0.01, 0.12, 200)):
        recognizer.push({'a': joints(time + 1)}, time)
    for window in stand.seen:
        moments = window[0, :, 0, 0] - 1
        assert window.shape == (1, 10, 20, 3)
        assert moments == pytest.approx(np.rint(moments * 10) / 10, abs=1e-4)
        assert np.diff(moments) == pytest.approx(np.full(9, 0.1), abs=1e-4)


def test_segments_begin_end_and_are_nothing_below_the_threshold():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=1, hop=0.1, frame_rate=10, smoothing=1, threshold=0.5)
    ended = []
    for i in range(1, 100):
        stand.confidence = 0.9 if i < 60 else 0.5
        recognizer.threshold = 0.7
        ended += [s for s in recognizer.push({1: joints(0.5 + (i >= 40))}, i / 10) if s.ended]
    assert [segment.name for segment in ended] == ['low', 'high']
    assert ended[0].begin == pytest.approx(0.5)
    assert ended[0].end == ended[1].begin == pytest.approx(3.95 - 0.45)
    assert ended[1].end == pytest.approx(5.95 - 0.45)
    assert recognizer.finish() == []


def test_the_class_nothing_gives_no_label():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=1, hop=0.1, frame_rate=10, smoothing=1)
    stand.classes = ('low', NOTHING)
    found = [s for i in range(1, 60) for s in recognizer.push({1: joints(0.5 + (20 <= i < 40))}, i / 10)]
    assert {segment.name for segment in found} == {'low'}
    assert [segment.ended for segment in found].count(True) == 1


def test_persons_come_and_go_and_nothing_of_them_stays():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=1, hop=0.5, frame_rate=10, patience=0.5)
    ended = []
    for i in range(1, 2000):
        ended += [s for s in recognizer.push({i // 30: joints(0.5)}, i / 10) if s.ended]
        assert len(recognizer._tracks) <= 2
        assert len(recognizer._groups) <= 2
        assert all(len(track.grid) <= 10 for track in recognizer._tracks.values())
    assert len({segment.persons for segment in ended}) > 60


def test_an_hour_of_frames_costs_no_more_at_its_end():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=0.5, hop=1.0, frame_rate=30)
    person, counts, spent = joints(0.5), [], []
    for i in range(1, 108_001):
        # Ids never come back: a new person every ten seconds.
        if i % 18_000 == 1:
            spent.append(process_time())
        recognizer.push({i // 300: person}, i / 30)
        if i % 1000 == 0:
            kept = [len(track.grid) for track in recognizer._tracks.values()]
            counts.append((len(recognizer._tracks), len(recognizer._groups), max(kept)))
            stand.seen.clear()
    spent = np.diff([*spent, process_time()])
    assert np.all(np.max(counts, axis=0) <= (2, 2, 15))
    # The last ten minutes against the first; the bound is far above the noise of a busy machine.
    assert spent[-1] < 3 * spent[0]


def test_thousands_of_ids_in_a_frame_take_bounded_memory():
    stand = Stand()
    options = dict(window=1, hop=0.5, frame_rate=10, max_persons=5, pair_distance=1.0, patience=2)
    recognizer = StreamRecognizer(stand, **options)
    changed = []
    for i in range(1, 40):
        # Three persons who stay, and thousands of ids that never come back.
        frame = {name: joints(0.5) for name in ('a', 'b', 'c')}
        frame |= {f'{i}-{j}': joints(0.6) for j in range(3000)}
        changed += recognizer.push(frame, i / 10)
        assert len(recognizer._tracks) == 5
        assert len(recognizer._groups) <= 5 + 10
    assert {len(window) for window in stand.seen} == {1, 2}
    labeled = {person for segment in changed for person in segment.persons}
    assert labeled == {'a', 'b', 'c'}
    assert any('max_persons is 5' in note for note in recognizer._notes)


def test_persons_in_sight_take_the_room_of_those_out_of_sight():
    recognizer = StreamRecognizer(Stand(), window=1, hop=0.5, frame_rate=10, max_persons=2, patience=9)
    for i in range(1, 20):
        recognizer.push({'a': joints(0.5), 'b': joints(0.5)}, i / 10)
    changed = recognizer.push({'b': joints(0.5), 'c': joints(0.5), 'd': joints(0.5)}, 2.0)
    assert list(recognizer._tracks) == ['b', 'c']
    assert [(one.persons, one.ended) for one in changed if one.ended] == [(('a',), True)]


def test_windows_are_predicted_in_batches_of_bounded_size():
    stand, sizes = Stand(), []

    def iterate(recordings, batch_size, **options):
        sizes.append(batch_size)
        return Stand.iterate(stand, recordings, batch_size, **options)

    stand.iterate = iterate
    recognizer = StreamRecognizer(stand, window=1, hop=1, frame_rate=10, max_persons=100)
    for i in range(1, 21):
        recognizer.push({name: joints(0.5) for name in range(100)}, i / 10)
    assert max(sizes) == BATCH
    assert len(stand.seen) == 200


def test_four_threads_push_in_turn_and_into_streams_of_their_own(inferencer):
    """Into one stream: a frame that comes too late is refused, the others are not mixed up."""
    stand, turn, refused = Stand(), iter(range(1, 2001)), []
    shared = StreamRecognizer(stand, window=1, hop=0.2, frame_rate=10)

    def push(_):
        for i in turn:
            try:
                shared.push({'a': joints(i / 100), 'b': joints(i / 100)}, i / 100)
            except ValueError as error:
                refused.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(push, range(4)))
    assert all('is not later than' in reason for reason in refused)
    for window in stand.seen:
        assert np.diff(window[0, :, 0, 0]) == pytest.approx(np.full(9, 0.1), abs=1e-3)

    def labels(seed):
        person = body()[0, 0] + np.random.default_rng(seed).normal(0, 0.02, (40, 20, 3)).cumsum(0)
        own = StreamRecognizer(inferencer, window=1, hop=0.5, frame_rate=10)
        found = [segment for i, pose in enumerate(person) for segment in own.push({seed: pose}, i / 10)]
        return [segment.label for segment in found]

    alone = [labels(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(labels, range(4)))
    assert together == alone
    assert all(alone)


def test_the_unit_is_judged_until_it_is_certain(inferencer):
    """The first windows show neither hip nor head, as behind a table."""
    person = 1000 * body()[0, 0]
    hidden = person.copy()
    hidden[[KINECT_V1.joints.index('head'), KINECT_V1.joints.index('hip center')]] = 0
    recognizer = StreamRecognizer(inferencer, window=1, hop=0.5, frame_rate=10)
    for i in range(30):
        recognizer.push({1: hidden, 2: hidden}, i / 10)
    with pytest.raises(ValueError, match=r'as if in mm'):
        [recognizer.push({1: hidden, 2: person}, i / 10) for i in range(30, 60)]


def test_a_person_of_an_estimator(tmp_path):
    inferencer = SkeletonInferencer(
        save_trained(tmp_path / 'x.pth', small_config('dualhead_ntu60_xsub_2d_j'), passes=2), device='cpu'
    )
    person = pixels(17, 3)[0, 0]
    options = dict(window=1, hop=0.5, frame_rate=10, img_shape=(480, 640))
    one, other = StreamRecognizer(inferencer, **options), StreamRecognizer(inferencer, **options)
    found = push_all(one, Person(person[:, :2], person[:, 2]))
    assert any(found)
    assert found == push_all(other, person)


def test_near_persons_are_answered_as_a_pair():
    stand = Stand()
    recognizer = StreamRecognizer(stand, window=1, hop=1, frame_rate=10, pair_distance=1.0)
    for i in range(1, 31):
        recognizer.push({'a': joints(0.5), 'b': joints(0.7), 'c': joints(9)}, i / 10)
    assert set(recognizer._groups) == {('a',), ('b',), ('c',), ('a', 'b')}
    assert {len(window) for window in stand.seen} == {1, 2}


def test_a_pair_ends_when_its_persons_part():
    recognizer = StreamRecognizer(Stand(), window=1, hop=1, frame_rate=10, pair_distance=1.0)
    ended = []
    for i in range(1, 61):
        frame = {'a': joints(0.5), 'b': joints(0.7 if i <= 30 else 9)}
        ended += [segment for segment in recognizer.push(frame, i / 10) if segment.ended]
    assert ('a', 'b') in {segment.persons for segment in ended}
    assert set(recognizer._groups) == {('a',), ('b',)}


@pytest.mark.parametrize(
    ('frame', 'time', 'message'),
    [
        ({'a': joints(1)}, 1.0, 'is not later than'),
        ({'a': joints(1)}, float('nan'), 'is not later than'),
        ({'a': joints(1)[:19]}, 2.0, r"'a'.*\(19, 3\)"),
        ({'a': joints(1)}, '2.0', "time: '2.0' is not a number"),
        ({'b': [[1, 2, 3], [4, 5]]}, 2.0, "person 'b': joints are not an array"),
        ({'b': joints(1).astype(str)}, 2.0, "person 'b': joints are not an array of numbers, but of <U"),
        ({'b': np.full((20, 3), -1)}, 2.0, "person 'b': keypoint: .* -1, in 20 joints, is a mark"),
        ({'b': joints(np.nan)}, 2.0, r"'b'.*joint 0 \(hip center\): nan, in 20 joints, is not finite"),
    ],
)
def test_bad_frames_are_named_and_not_taken(frame, time, message):
    recognizer = StreamRecognizer(Stand())
    recognizer.push({'a': joints(1)}, 1.0)
    with pytest.raises(ValueError, match=message):
        recognizer.push(frame, time)
    recognizer.push({'a': joints(1)}, 1.5)


def test_a_window_is_answered_as_a_recording():
    inferencer = SkeletonInferencer(device='cpu')
    recognizer = StreamRecognizer(inferencer, window=1, hop=1, smoothing=1, unit='m')
    person = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    segments = []
    for i in range(31):
        segments += recognizer.push({5: person * (1 + 0.01 * i)}, i / 30)
    window = recognizer.window((5,))
    (answer,) = inferencer(window, unit='m')['predictions']
    assert segments[-1].label == answer.label
    np.testing.assert_allclose(recognizer._groups[5,].scores, answer.scores[FUSED], atol=1e-6)


def test_the_threshold_keeps_the_precision():
    fused = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    scores = LabeledScores(
        source='s', names=tuple('abcd'), labels=np.array([0, 0, 1, 0]), heads={FUSED: fused}
    )
    assert calibrate(scores, 0.95) == pytest.approx(0.8)
    assert calibrate(scores, 0.75) == pytest.approx(0.6)
    wrong = LabeledScores(source='s', names=tuple('abcd'), labels=np.ones(4, int), heads={FUSED: fused})
    with pytest.raises(ValueError, match='no threshold'):
        calibrate(wrong)


def test_labels_by_frame():
    segment = Segment(persons=(1,), label=4, name='x', begin=1.0, end=2.0, score=1.0)
    assert frame_labels([segment], np.array([0.5, 1.0, 1.5, 2.5])).tolist() == [-1, 4, 4, -1]


@pytest.mark.heavy
def test_the_example_reads_lines_and_names_a_bad_one():
    person = body()[0, 0].tolist()
    lines = [json.dumps(dict(time=i / 30, persons={'7': person})) for i in range(70)]
    command = [sys.executable, ROOT / 'docs' / 'examples' / 'stream.py', '--threshold', '0']
    done = subprocess.run(command, input='\n'.join(lines), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])['ended']
    bad = subprocess.run(command, input='{"time": 1}\n', capture_output=True, text=True)
    assert bad.returncode == 1
    assert 'line 1' in bad.stderr
    wrong = subprocess.run([*command, '--window', '-1'], input='', capture_output=True, text=True)
    assert wrong.stderr.splitlines()[-1].startswith('error: window is -1.0, expected a positive number')


@pytest.mark.heavy
def test_the_example_ends_its_segments_on_ctrl_c():
    person = body()[0, 0].tolist()
    command = [sys.executable, ROOT / 'docs' / 'examples' / 'stream.py', '--threshold', '0']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.writelines(
            json.dumps(dict(time=i / 30, persons={'7': person})) + '\n' for i in range(70)
        )
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        last = process.stdout.read().splitlines()[-1]
    assert process.returncode == 0
    assert json.loads(last)['ended']


@pytest.mark.parametrize('start', [-1000.0, -0.7, 0.0, 1.7e9])
def test_times_may_start_anywhere(start):
    recognizer = StreamRecognizer(Stand(), window=1, hop=0.5, frame_rate=10)
    found = [recognizer.push({'a': joints(0.5)}, start + i / 10) for i in range(30)]
    assert sum(map(bool, found)) == pytest.approx(4, abs=1)


@pytest.mark.fault(
    'times of a stream in milliseconds', '-', 'an error after three steps that no window could hold'
)
@pytest.mark.parametrize('step', [33.0, 33_333.0, 1.0, 0.4])
def test_steps_that_fill_no_window_are_an_error(step):
    recognizer = StreamRecognizer(Stand(), window=1, hop=0.5, frame_rate=10)
    for i in range(3):
        recognizer.push({'a': joints(0.5)}, i * step)
    with pytest.raises(ValueError, match=r'3 steps in a row of more than 0\.25 s.*times are in seconds'):
        recognizer.push({'a': joints(0.5)}, 3 * step)


def test_times_in_minutes_are_an_error():
    recognizer = StreamRecognizer(Stand(), window=1, hop=0.5, frame_rate=10)
    with pytest.raises(ValueError, match=r'300 steps in a row of less than 0\.001 s.*times are in seconds'):
        [recognizer.push({i: joints(0.5)}, i / 30 / 60) for i in range(400)]


def test_a_pause_and_an_empty_scene_are_no_error():
    recognizer = StreamRecognizer(Stand(), window=1, hop=0.5, frame_rate=10)
    times = [*np.arange(15) / 10, 60, *(61 + np.arange(15) / 10)]
    found = [recognizer.push({'a': joints(0.5)}, time) for time in times]
    assert any(found[:15])
    assert any(found[16:])
    for time in range(100, 200, 10):
        recognizer.push({}, time)


def test_an_array_that_a_tracker_fills_again_is_copied():
    stand, frame = Stand(), joints(0)
    recognizer = StreamRecognizer(stand, window=1, hop=1, frame_rate=10)
    for i in range(20):
        frame[:] = 1 + i / 20
        recognizer.push({'a': frame}, i / 20)
    np.testing.assert_allclose(np.diff(stand.seen[0][0, :, 0, 0]), 0.1, atol=1e-6)


def test_persons_whose_center_is_missing_are_near_nobody():
    recognizer = StreamRecognizer(Stand(), window=1, hop=1, frame_rate=10, pair_distance=1.0)
    one, other = joints(0.5), joints(9)
    one[KINECT_V1.center] = other[KINECT_V1.center] = 0
    recognizer.push({'a': one, 'b': other}, 1.0)
    recognizer.push({'a': one, 'b': other}, 1.1)
    assert ('a', 'b') not in recognizer._groups


def test_coordinates_that_no_person_has_are_named():
    person = joints(1)
    person[3, 1] = 1e30
    with pytest.raises(ValueError, match=r"'a': joint 3 \(head\) is at 1e\+30"):
        StreamRecognizer(Stand()).push({'a': person}, 1.0)


def push_all(recognizer, person, number=25):
    return [recognizer.push({1: person}, i / 10) for i in range(number)]


@pytest.mark.fault('a stream in millimeters', 'labels', 'refused as in prediction, unless the unit is said')
def test_a_stream_goes_through_the_gate(inferencer):
    options = dict(window=1, hop=0.5, frame_rate=10)
    millimeters = 1000 * body()[0, 0]
    with pytest.raises(ValueError, match=r'stream, person 1: .* as if in mm'):
        push_all(StreamRecognizer(inferencer, **options), millimeters)
    recognizer = StreamRecognizer(inferencer, **options, unit='mm')
    assert any(push_all(recognizer, millimeters))
    np.testing.assert_allclose(recognizer.window((1,))[0, -1], body()[0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="unit is 'inch'"):
        StreamRecognizer(inferencer, unit='inch')


@pytest.mark.parametrize('channels', [2, 3])
def test_a_stream_in_pixels(tmp_path, channels):
    inferencer = SkeletonInferencer(
        save_trained(tmp_path / 'x.pth', small_config('dualhead_ntu60_xsub_2d_j'), passes=2), device='cpu'
    )
    person, options = pixels(17, channels)[0, 0], dict(window=1, hop=0.5, frame_rate=10)
    with pytest.raises(ValueError, match='give the height and width of the image'):
        push_all(StreamRecognizer(inferencer, **options), person, 1)
    with pytest.raises(ValueError, match=r'stream, person 1: .* outside of an image'):
        push_all(StreamRecognizer(inferencer, **options, img_shape=(48, 64)), person)
    assert any(push_all(StreamRecognizer(inferencer, **options, img_shape=(480, 640)), person))


@pytest.mark.fault(
    'a person whose hips or shoulders leave sight, in a stream of 2-D joints',
    '-',
    'no labels meanwhile and one warning; the other persons get theirs',
)
def test_a_person_whose_hips_leave_sight_pauses_alone(caplog):
    recognizer = StreamRecognizer(
        SkeletonInferencer(device='cpu'), layout='coco', window=1, hop=0.5, frame_rate=10, patience=3
    )
    whole, hips = pixels(17, 3)[0, 0], [COCO.joints.index(f'{side} hip') for side in ('left', 'right')]
    above = whole.copy()
    above[hips] = 0
    answers = [
        {segment.persons for segment in recognizer.push({1: seen, 2: whole}, t / 10)}
        for t, seen in enumerate([whole] * 15 + [above] * 25 + [whole] * 25)
    ]
    assert {(1,)} < set().union(*answers[:15])
    assert set().union(*answers[30:40]) == {(2,)}
    assert (1,) in set().union(*answers[50:])
    warnings = [record.getMessage() for record in caplog.records]
    assert sum('no frame shows the hips' in warning for warning in warnings) == 1


@pytest.mark.fault(
    'a stream of joints in space near the origin, with a model of joints in images',
    'no labels if depths were taken for confidences',
    'labels',
)
def test_joints_in_space_with_a_model_of_joints_in_images():
    person = body()[0, 0] - (0, 0, 2.7)
    person[[KINECT_V1.joints.index(f'{side} hip') for side in ('left', 'right')], 2] = 0.05
    inferencer = SkeletonInferencer(PACKAGED_2D, device='cpu')
    options = dict(layout='kinect_v1', unit='m', window=1, hop=0.5, frame_rate=10)
    assert any(push_all(StreamRecognizer(inferencer, **options), person))


def test_the_packaged_model_of_streams_says_nothing_at_cuts():
    inferencer = SkeletonInferencer(STREAM_MODEL, device='cpu')
    assert inferencer.classes == (*SkeletonInferencer(device='cpu').classes, NOTHING)
    recording = np.load(SkeletonInferencer.example())[0]
    recognizer = StreamRecognizer(inferencer, window=1, hop=0.2)
    found = [
        s
        for i in range(3)
        for t, x in enumerate(recording)
        for s in recognizer.push({1: x}, (35 * i + t) / 30)
    ]
    assert found
    assert NOTHING not in {segment.name for segment in found}

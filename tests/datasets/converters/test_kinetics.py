from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.converters import EmptyRecording, Recording, convert
from mmdualhead.datasets.converters.kinetics import MAX_FRAMES, parse_persons, read_recording, scan
from mmdualhead.errors import UserError

from .raw_files import kinetics_frame, write_kinetics


def person(seed: int, score: float = 0.5) -> np.ndarray:
    """(18, 3): x, y in 0..1 and a constant score."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.random((18, 2)), np.full(18, score)])


def centered(*persons: np.ndarray) -> np.ndarray:
    return np.float32(persons) - np.float32([0.5, 0.5, 0])


def read(tmp_path: Path, data: Any, **other: Any) -> np.ndarray:
    (tmp_path / 'a.json').write_text(json.dumps({'data': data, **other}))
    return read_recording(Recording('a', tmp_path / 'a.json', 7)).keypoint


def test_round_trip(tmp_path: Path, converted: Callable) -> None:
    one, two = person(1), person(2, 0.4)
    train = {'b': (3, [kinetics_frame(i, one) for i in (1, 2, 3)]), 'a': (399, [kinetics_frame(1, one, two)])}
    unseen = {'c': {'has_skeleton': False, 'label': 'class 5', 'label_index': 5}}
    write_kinetics(tmp_path, 'train', train, unseen)
    write_kinetics(
        tmp_path, 'val', {'d': (3, [kinetics_frame(0, two)]), 'e': (3, [{'frame_index': 1, 'skeleton': []}])}
    )
    (tmp_path / 'kinetics_val' / 'stray.json').write_text('{}')
    result = converted(scan(tmp_path))
    assert result.split == {'train': ['a', 'b'], 'val': ['d']}
    assert result.labels == {'a': 399, 'b': 3, 'd': 3}
    np.testing.assert_array_equal(result.clips['a']['keypoint'], centered(one, two)[:, None])
    np.testing.assert_array_equal(result.clips['b']['keypoint'], centered(one, one, one)[None])
    meta = result.meta
    assert (meta['layout'], meta['normalized'], len(meta['classes'])) == ('openpose', True, 400)
    named = {2: 'answering questions', 3: 'class 3', 5: 'class 5', 399: 'class 399'}
    assert {label: meta['classes'][label] for label in named} == named
    assert open_annotations(tmp_path / 'out.pkl').meta == meta
    assert meta['left_out'] == {
        'c': 'no skeleton according to the label file',
        'stray': 'not in the label file',
        'e': 'no person in any of 1 frames',
    }


def test_keeps_the_best_two_of_five_in_each_frame(tmp_path: Path) -> None:
    persons = [person(i, score) for i, score in enumerate((0.1, 0.4, 0.2, 0.5, 0.3, 0.9))]
    keypoint = read(tmp_path, [kinetics_frame(1, *persons), kinetics_frame(2, *persons[::-1])])
    np.testing.assert_array_equal(keypoint[:, 0], centered(persons[3], persons[1]))
    np.testing.assert_array_equal(keypoint[:, 1], centered(persons[5], persons[3]))


def test_joints_of_score_zero_are_zero(tmp_path: Path) -> None:
    someone = person(1)
    someone[4, 2] = 0
    keypoint = read(tmp_path, [kinetics_frame(1, someone)])
    assert not keypoint[0, 0, 4].any()
    np.testing.assert_array_equal(np.delete(keypoint[0, 0], 4, 0), np.delete(centered(someone)[0], 4, 0))


def test_frames_keep_their_time(tmp_path: Path) -> None:
    """Frames are numbered from the first; what lies between them, and after 300, is handled."""
    frames = [kinetics_frame(i, person(i)) for i in (1, 4, 300, 301)]
    keypoint = read(tmp_path, frames[::-1])
    assert keypoint.shape == (1, MAX_FRAMES, 18, 3)
    assert np.flatnonzero(keypoint.any(axis=(0, 2, 3))).tolist() == [0, 3, 299]
    np.testing.assert_array_equal(keypoint[0, 3], centered(person(4))[0])


@pytest.mark.parametrize('label', ['', None, 7])
def test_the_label_may_be_blank_or_right(tmp_path: Path, label: Any) -> None:
    assert read(tmp_path, [kinetics_frame(1, person(1))], label_index=label).shape == (1, 1, 18, 3)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not JSON'),
        ('[' * 100_000, 'not JSON'),
        ('[]', "expected an object with the list 'data'"),
        ('{"data": 3}', "expected an object with the list 'data'"),
        ('{"data": [], "label_index": 8}', 'label_index 8, but the label file has 7'),
        ('{"data": [1]}', r"data\[0\]: expected a 'frame_index'"),
        ('{"data": [{"frame_index": -1, "skeleton": []}]}', r"data\[0\]: expected a 'frame_index'"),
        ('{"data": [{"frame_index": 4, "skeleton": [5]}]}', "frame_index 4: expected a 'pose' of 36"),
        (
            '{"data": [{"frame_index": 4, "skeleton": []}, {"frame_index": 4, "skeleton": []}]}',
            'occurs twice',
        ),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(UserError, match=message):
        read_recording(Recording('a', tmp_path / 'a.json', 7))


def test_a_missing_file_is_malformed(tmp_path: Path) -> None:
    write_kinetics(tmp_path, 'val', {'a': (1, [kinetics_frame(0, person(1))]), 'b': (1, [])})
    (tmp_path / 'kinetics_val' / 'a.json').unlink()
    with pytest.raises(UserError, match=r'a\.json: No such file'):
        convert(scan(tmp_path), tmp_path / 'out.pkl', workers=0)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'has_skeleton': True, 'label': 'x'}, 'clip a: label_index is None, expected int'),
        ({'has_skeleton': 1, 'label': 'x', 'label_index': 1}, 'clip a: has_skeleton is 1, expected bool'),
        ({'has_skeleton': True, 'label': 'x', 'label_index': 400}, r'label_index is 400, expected 0\.\.399'),
        ([], 'clip a: label_index is None'),
    ],
)
def test_checks_the_label_file(tmp_path: Path, entry: Any, message: str) -> None:
    write_kinetics(tmp_path, 'val', {}, {'a': entry})
    with pytest.raises(UserError, match=message):
        scan(tmp_path)


def test_checks_the_label_files_together(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='expected kinetics_train_label'):
        scan(tmp_path)
    data = [kinetics_frame(1, person(1))]
    write_kinetics(
        tmp_path, 'train', {'a': (1, data)}, {'b': {'has_skeleton': True, 'label': 'x', 'label_index': 2}}
    )
    write_kinetics(tmp_path, 'val', {'a': (1, data)})
    with pytest.raises(
        UserError, match=r'1 file names occur twice, .*kinetics_train/a.json and .*kinetics_val/a.json'
    ):
        scan(tmp_path)
    (tmp_path / 'kinetics_val_label.json').write_text(
        '{"c": {"has_skeleton": true, "label": "y", "label_index": 2}}'
    )
    with pytest.raises(UserError, match="clip c: class 2 is 'x' and 'y'"):
        scan(tmp_path)


@given(st.binary(max_size=300))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'random.json'
    path.write_bytes(content)
    with pytest.raises(UserError):
        read_recording(Recording('a', path, 7))


NUMBERS = st.lists(st.one_of(st.floats(), st.integers(), st.just('1'), st.booleans()), max_size=40)
VALID = st.lists(st.floats(0, 1), min_size=18, max_size=18)
PEOPLE = st.fixed_dictionaries({'pose': VALID.map(lambda v: v + v) | NUMBERS, 'score': VALID | NUMBERS})
FRAMES = st.fixed_dictionaries(
    {'frame_index': st.integers(-1, 400) | st.floats(), 'skeleton': st.lists(PEOPLE | st.none(), max_size=3)}
)


@given(st.lists(FRAMES, max_size=3))
def test_random_frames(frames: list) -> None:
    try:
        numbers, persons = parse_persons(frames)
    except UserError:
        return
    assert persons.shape == (len(numbers), 18, 3)
    assert len(numbers) == sum(len(frame['skeleton']) for frame in frames)
    assert (numbers >= 0).all()


def test_a_clip_of_empty_frames(tmp_path: Path) -> None:
    with pytest.raises(EmptyRecording, match='no person in any of 2 frames'):
        read(tmp_path, [kinetics_frame(1), kinetics_frame(2)])


@pytest.mark.parametrize('clip', ['../a', '/etc/a', 'a\0b', ''])
@pytest.mark.fault('name of a clip in a label file that is a path', '-', 'refused')
def test_names_of_clips_never_become_other_paths(tmp_path: Path, clip: str) -> None:
    write_kinetics(tmp_path, 'val', {'a': (1, [kinetics_frame(0, person(1))])})
    entry = {'has_skeleton': True, 'label': 'class 1', 'label_index': 1}
    (tmp_path / 'kinetics_val_label.json').write_text(json.dumps({clip: entry}))
    with pytest.raises(UserError, match=r'kinetics_val_label\.json: .* is not the name of a clip'):
        scan(tmp_path)


@pytest.mark.fault(
    'Kinetics JSON in pixels', 'read as shares of the picture', 'refused, names file and frame'
)
def test_joints_in_pixels_are_malformed(tmp_path: Path) -> None:
    someone = person(1)
    someone[3, 1] = 572
    with pytest.raises(UserError, match=r'frame_index 8: coordinate 572, expected 0\.\.1'):
        read(tmp_path, [kinetics_frame(7, person(0)), kinetics_frame(8, person(0), someone)])

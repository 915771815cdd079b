from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdualhead.apis.readers import read_file
from mmdualhead.datasets.poses.files import read_content

from .estimators import PICTURE, in_space, landmarks, walk

WORLD = in_space(33)
PIXELS = walk('mediapipe')[0]
FRACTIONS = np.concatenate([PIXELS / PICTURE[::-1], np.zeros((6, 33, 1))], -1)
MOVED = WORLD + np.array((0.1, 0.7, 0))
"""Meters, but not around the hip."""


def by_name(joints: np.ndarray, name: str) -> Any:
    return [{name: landmarks(one)} for one in joints]


def with_numbers(joints: np.ndarray, name: str) -> Any:
    return [{name: {'landmark': landmarks(one)}, 'frame': 3 + t} for t, one in enumerate(joints)]


def with_rate(joints: np.ndarray, name: str) -> Any:
    return {'frames': [{name: [landmarks(one)]} for one in joints], 'fps': 25}


def bare(joints: np.ndarray, _: str) -> Any:
    return list(map(landmarks, joints))


def persons(joints: np.ndarray, _: str) -> Any:
    return [[landmarks(one)] for one in joints]


FORMS = [by_name, with_numbers, with_rate, bare, persons]


@pytest.mark.parametrize('form', FORMS)
def test_world_landmarks_are_meters_with_y_up(form: Any) -> None:
    clip = read_content(form(WORLD, 'pose_world_landmarks'))
    np.testing.assert_allclose(clip.keypoint[0], WORLD * (-1, -1, 1), atol=1e-6)
    np.testing.assert_allclose(clip.keypoint_score, 0.75)
    assert (clip.layout, clip.img_shape) == ('mediapipe', None)


@pytest.mark.parametrize('form', FORMS)
def test_picture_landmarks_are_pixels(form: Any) -> None:
    content = form(FRACTIONS, 'pose_landmarks')
    clip = read_content(content, PICTURE)
    np.testing.assert_allclose(clip.keypoint[0], PIXELS, atol=1e-3)
    assert (clip.layout, clip.img_shape) == ('mediapipe', PICTURE)
    with pytest.raises(ValueError, match='MediaPipe: img_shape: picture landmarks are fractions'):
        read_content(content)


def test_the_file_may_have_the_size_and_the_rate() -> None:
    height, width = PICTURE
    frames = [{'landmarks': landmarks(one)} for one in FRACTIONS]
    clip = read_content({'frames': frames, 'width': width, 'height': height, 'fps': 12.5})
    np.testing.assert_allclose(clip.keypoint[0], PIXELS, atol=1e-3)
    assert clip.frame_rate == 12.5


@pytest.mark.fault('frames without numbers that are not in the order of their times', '-', 'refused')
def test_frames_follow_their_times() -> None:
    content = [{'landmarks': landmarks(one), 'timestamp_ms': 33 * t} for t, one in enumerate(WORLD)]
    assert read_content(content).keypoint.shape[1] == len(WORLD)
    content[1], content[2] = content[2], content[1]
    with pytest.raises(ValueError, match='entry 2: time 33 does not follow 66'):
        read_content(content)


def test_frames_without_a_person() -> None:
    content: list[Any] = [{'pose_world_landmarks': landmarks(one), 'pose_landmarks': None} for one in WORLD]
    content[2] = {'pose_world_landmarks': None, 'pose_landmarks': None}
    content[4] = {'pose_world_landmarks': [], 'pose_landmarks': []}
    keypoint = read_content(content).keypoint
    assert keypoint.any((2, 3))[0].tolist() == [True, True, False, True, False, True]


def test_persons_are_told_apart_by_their_pictures() -> None:
    content = []
    for t, one in enumerate(WORLD):
        persons = [(one, FRACTIONS[t]), (one * (1, 1, -1), FRACTIONS[t] + (0.4, 0, 0))][:: (-1) ** t]
        names = ('pose_world_landmarks', 'pose_landmarks')
        content.append(dict(zip(names, zip(*persons, strict=True), strict=True)))
    content = [{name: list(map(landmarks, value)) for name, value in one.items()} for one in content]
    clip = read_content(content)
    np.testing.assert_allclose(clip.keypoint[0], WORLD * (-1, -1, 1), atol=1e-6)
    np.testing.assert_allclose(clip.keypoint[1], WORLD * (-1, -1, -1), atol=1e-6)
    for one in content:
        del one['pose_landmarks']
    with pytest.raises(ValueError, match='frame 0: world landmarks of several persons'):
        read_content(content)


@pytest.mark.parametrize(
    ('joints', 'name'),
    [
        (FRACTIONS, 'pose_world_landmarks'),
        (WORLD, 'pose_landmarks'),
        (MOVED, 'landmarks'),
        (FRACTIONS * 500, 'landmarks'),
        (WORLD * 1000, 'pose_world_landmarks'),
        (FRACTIONS * 500, 'pose_landmarks'),
    ],
)
@pytest.mark.fault('world landmarks taken for those of the picture, or neither', '-', 'refused')
def test_neither_kind_is_taken_for_the_other(joints: np.ndarray, name: str) -> None:
    with pytest.raises(ValueError, match='landmarks are not clearly'):
        read_content(by_name(joints, name), PICTURE)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda f: f['pose_landmarks'].pop(), 'entry 2: person 0: expected 33 landmarks'),
        (lambda f: f.update(pose_landmarks={'a': 1}), "entry 2: {'a': 1} is not a list of landmarks"),
        (lambda f: f.update(pose_landmarks=[5]), 'entry 2: person 0: expected 33 landmarks, found 5'),
        (lambda f: f['pose_landmarks'][5].pop('y'), "entry 2: person 0: expected an object with 'y'"),
        (
            lambda f: f['pose_landmarks'][5].update(x=None),
            r'entry 2: person 0: \[5\]\[0\]: None is not a number',
        ),
        (lambda f: f['pose_landmarks'][5].update(visibility=85), 'entry 2: person 0: joint 5 is at'),
        (lambda f: f.update(frame=1), 'entry 2: frame 1 occurs twice'),
        (lambda f: f.update(pose_world_landmarks=landmarks(WORLD[0])), 'some frames have world landmarks'),
    ],
)
def test_damaged_landmarks_are_named(change: Any, message: str) -> None:
    content = [{'pose_landmarks': landmarks(one), 'frame': t} for t, one in enumerate(FRACTIONS)]
    change(content[2])
    with pytest.raises(ValueError, match=f'MediaPipe: {message}'):
        read_content(content, PICTURE)


def in_lines(joints: np.ndarray) -> list[list[Any]]:
    return [[*one.round(6).tolist(), 0.75] for one in joints]


def write_wide(path: Path, joints: np.ndarray, first: str = '') -> Path:
    names = [f'{axis}{i}' for i in range(33) for axis in ('x', 'y', 'z', 'v')]
    rows = [sum(in_lines(one), [t, 40 * t] if first else []) for t, one in enumerate(joints)]
    path.write_text('\n'.join([first + ','.join(names), *(','.join(map(str, row)) for row in rows)]))
    return path


def write_long(path: Path, joints: np.ndarray) -> Path:
    rows = [
        [t, i, f'LANDMARK_{i}', *one]
        for t, frame in enumerate(joints)
        for i, one in enumerate(in_lines(frame))
    ]
    header = 'frame_id,landmark_id,landmark_name,x,y,z,visibility'
    path.write_text('\n'.join([header, *(','.join(map(str, row)) for row in rows)]))
    return path


class TestTables:
    @pytest.mark.parametrize('write', [write_wide, lambda *a: write_wide(*a, 'frame_idx,ms,'), write_long])
    def test_both_kinds(self, tmp_path: Path, write: Any) -> None:
        world = read_file(write(tmp_path / 'w.csv', WORLD))
        np.testing.assert_allclose(world.keypoint[0], WORLD * (-1, -1, 1), atol=1e-5)
        picture = read_file(write(tmp_path / 'p.csv', FRACTIONS), PICTURE)
        np.testing.assert_allclose(picture.keypoint[0], PIXELS, atol=1e-3)
        np.testing.assert_allclose(picture.keypoint_score, 0.75)
        assert (world.layout, picture.layout, picture.img_shape) == ('mediapipe', 'mediapipe', PICTURE)

    def test_a_frame_without_a_person_is_empty(self, tmp_path: Path) -> None:
        path = write_wide(tmp_path / 'x.csv', WORLD)
        lines = path.read_text().split('\n')
        lines[3] = ',' * lines[3].count(',')
        path.write_text('\n'.join(lines))
        assert read_file(path).keypoint.any((2, 3))[0].tolist() == [True, True, False, True, True, True]

    def test_missing_lines_are_refused(self, tmp_path: Path) -> None:
        for write, message in ((write_long, 'row 34 below the header: expected joints 0 to 32'),):
            path = write(tmp_path / 'x.csv', WORLD)
            lines = path.read_text().split('\n')
            path.write_text('\n'.join(lines[:34] + lines[35:]))
            with pytest.raises(ValueError, match=message):
                read_file(path)
        path = write_wide(tmp_path / 'x.csv', WORLD, 'frame_idx,ms,')
        lines = path.read_text().split('\n')
        path.write_text('\n'.join(lines[:3] + lines[4:]))
        with pytest.raises(ValueError, match='column frame_idx: 3 follows 1; frames are missing'):
            read_file(path)

    def test_numbers_that_are_neither_stay_a_table_of_ones_own(self, tmp_path: Path) -> None:
        found = read_file(write_wide(tmp_path / 'x.csv', MOVED))
        np.testing.assert_allclose(found.keypoint[0], MOVED, atol=1e-5)
        assert found.layout is None

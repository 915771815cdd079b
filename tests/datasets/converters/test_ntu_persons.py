from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.datasets.converters.ntu_file import TrackedBody
from mmdualhead.datasets.converters.ntu_persons import (
    JOIN_FRAMES,
    JOIN_STEP,
    NOISE_FRAMES,
    join_tracks,
    motion,
    select_persons,
)

from .raw_files import standing


def track(first: int, joints: np.ndarray) -> TrackedBody:
    return TrackedBody(np.arange(first, first + len(joints)), joints)


def lively(num_frames: int, seed: int, at: float = 0.0) -> np.ndarray:
    """Walks a metre towards the camera."""
    joints = standing(25, num_frames, seed, at)
    joints[..., 2] -= np.linspace(0, 1, num_frames)[:, None]
    return joints


def lying(num_frames: int) -> np.ndarray:
    """As wide as high: a chair."""
    joints = standing(25, num_frames, 9)
    return joints[..., [1, 0, 2]]


def test_the_most_motion_first() -> None:
    still, moving = standing(25, 20, 1), lively(20, 2, at=1)
    for tracks in ([track(0, still), track(0, moving)], [track(0, moving), track(0, still)]):
        np.testing.assert_array_equal(select_persons(tracks), np.stack([moving, still]))


def test_motion_is_the_variance_over_joints_and_frames() -> None:
    joints = standing(25, 8).astype(np.float64)
    expected = sum(np.var([x for frame in joints for x in frame[:, axis]]) for axis in range(3))
    np.testing.assert_allclose(motion(joints), expected)


def test_drops_short_tracks_unless_all_are() -> None:
    long, short = standing(25, 30, 1), lively(NOISE_FRAMES, 2)
    np.testing.assert_array_equal(select_persons([track(0, short), track(0, long)]), long[None])
    enough = lively(NOISE_FRAMES + 1, 2)
    assert len(select_persons([track(0, enough), track(0, long)])) == 2
    assert select_persons([track(0, short), track(0, long[:5])]).shape == (2, NOISE_FRAMES, 25, 3)


def test_a_single_short_track_is_taken_as_it_is() -> None:
    joints = lying(3)
    np.testing.assert_array_equal(select_persons([track(0, joints)]), joints[None])


def test_drops_bodies_wider_than_high_but_not_all() -> None:
    person = standing(25, 20, 1)
    np.testing.assert_array_equal(select_persons([track(0, lying(20)), track(0, person)]), person[None])
    np.testing.assert_array_equal(select_persons([track(0, person), track(0, lying(20))]), person[None])
    assert len(select_persons([track(0, lying(20)), track(0, lying(20))])) == 1


def test_implausible_frames_do_not_count_as_motion() -> None:
    """Every other frame of the first is a jump that would make it the most moving."""
    jumping, calm = standing(25, 20, 1), lively(20, 2, at=1)
    jumping[::2] = lying(10) * 3
    assert motion(jumping) > motion(calm)
    np.testing.assert_array_equal(select_persons([track(0, jumping), track(0, calm)])[0], calm)


def test_joins_the_tracks_of_one_person() -> None:
    first, again, other = lively(20, 1), standing(25, 15, 2), lively(50, 3, at=1) * 1.2
    tracks = [track(0, first), track(30, again), track(0, other)]
    persons = select_persons(tracks)
    np.testing.assert_array_equal(persons[0], other)
    np.testing.assert_array_equal(persons[1, :20], first)
    assert not persons[1, 20:30].any()
    np.testing.assert_array_equal(persons[1, 30:45], again)


def test_an_earlier_track_of_the_second_person_is_not_lost() -> None:
    other, late, early = lively(50, 3) * 1.2, lively(20, 1, at=1), standing(25, 15, 2, at=1)
    persons = select_persons([track(0, other), track(30, late), track(5, early)])
    np.testing.assert_array_equal(persons[1, 30:], late)
    np.testing.assert_array_equal(persons[1, 5:20], early)


def test_at_most_two_of_four() -> None:
    bodies = [lively(30, seed, at=seed) * (2 - 0.2 * seed) for seed in range(4)]
    persons = select_persons([track(0, body) for body in bodies])
    np.testing.assert_array_equal(persons, np.stack(sorted(bodies, key=motion, reverse=True)[:2]))


def test_frames_without_a_person_are_left_out() -> None:
    joints = standing(25, 6)
    frames = np.array([2, 3, 7, 8, 9, 14])
    np.testing.assert_array_equal(select_persons([TrackedBody(frames, joints)]), joints[None])


def test_frames_of_dropped_bodies_are_left_out() -> None:
    person, chair = standing(25, 20, 1), lying(40)
    persons = select_persons([track(0, chair), track(10, person)])
    np.testing.assert_array_equal(persons, person[None])


def shaped(num_frames: int, width: float, wide_frames: int = 0) -> np.ndarray:
    """Joints two meters high and ``width`` wide; twice as wide as high in the last ``wide_frames``."""
    joints = np.zeros((num_frames, 25, 3), np.float32)
    joints[:, 0, 1] = 2
    joints[:, 1, 0] = width
    joints[num_frames - wide_frames :, 1, 0] = 4
    joints[..., 2] = np.linspace(0, 1, num_frames)[:, None]
    return joints


def test_wide_is_more_than_four_fifths_of_the_height() -> None:
    person = standing(25, 20, 1, at=9)
    for width, persons in ((1.5, 2), (1.6, 2), (1.7, 1), (1.9, 1)):
        assert len(select_persons([track(0, shaped(20, width)), track(0, person)])) == persons, width


def test_wide_in_seven_of_ten_frames_is_noise() -> None:
    person = standing(25, 100, 1, at=9)
    for wide, persons in ((51, 2), (69, 2), (70, 1)):
        assert len(select_persons([track(0, shaped(100, 1, wide)), track(0, person)])) == persons, wide


def place(num_frames: int, x: float) -> np.ndarray:
    return np.full((num_frames, 25, 3), (x, 0, 3), np.float32)


@pytest.mark.parametrize(
    ('gap', 'distance', 'joins'),
    [
        (1, 0.9 * JOIN_STEP, 1),
        (1, 1.1 * JOIN_STEP, 0),
        (JOIN_FRAMES, 0.9 * JOIN_FRAMES * JOIN_STEP, 1),
        (JOIN_FRAMES, 1.1 * JOIN_FRAMES * JOIN_STEP, 0),
        (JOIN_FRAMES + 1, 0, 0),
        (0, 0, 0),
    ],
)
def test_tracks_are_joined_by_place_and_time(gap: int, distance: float, joins: int) -> None:
    tracks = [track(3, place(5, 0)), track(7 + gap, place(4, distance))]
    joined = join_tracks(tracks)
    assert len(joined) == 2 - joins
    np.testing.assert_array_equal(
        np.concatenate([t.frames for t in joined]), [*range(3, 8), *tracks[1].frames]
    )


def test_the_nearest_goes_on() -> None:
    """Two persons renumbered in the same frame, whose tracks come in any order."""
    tracks = [
        track(0, place(5, 0)),
        track(0, place(5, 0.1)),
        track(5, place(5, 0.11)),
        track(5, place(5, 0.02)),
    ]
    for order in itertools.permutations(tracks):
        first, second = sorted(join_tracks(list(order)), key=lambda t: t.joints[0, 0, 0])
        assert (first.joints[-1, 0, 0], second.joints[-1, 0, 0]) == (np.float32(0.02), np.float32(0.11))
        assert len(first.frames) == len(second.frames) == 10


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=6))
def test_nothing_changes_where_no_number_changes(spans: list[tuple[int, int, int]]) -> None:
    """Persons a meter apart, and at one place only with a longer pause: the very same arrays come back."""
    tracks, free = [], [0] * 4
    for first, length, at in spans:
        begin = free[at] + first
        tracks.append(track(begin, standing(25, length, seed=at, at=at)))
        free[at] = begin + length + JOIN_FRAMES
    joined = join_tracks(tracks)
    assert len(joined) == len(tracks)
    for one, other in zip(tracks, joined, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.joints, other.joints)

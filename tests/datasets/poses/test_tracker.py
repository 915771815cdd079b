from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.datasets.poses import Person, Tracker

BODY = np.random.default_rng(0).uniform(0, 1, (13, 2)) * (40, 170)
RATE = 25


def at(x: float, y: float = 0, **known) -> Person:
    return Person(BODY + (x, y) + 1000, **known)


def place_of(joints) -> float:
    return round(float(joints[0, 0] - BODY[0, 0] - 1000), 3)


def follow(tracker: Tracker, steps) -> list[dict[int, float]]:
    """The x of each person by id, for lists of persons in consecutive frames."""
    found = [tracker.update(persons, i / RATE) for i, persons in enumerate(steps)]
    return [{id: place_of(one.joints) for id, one in frame.items()} for frame in found]


def test_ids_count_in_order_of_appearance_and_stay():
    rng = np.random.default_rng(1)
    steps = [[at(300 + rng.normal(0, 2)), at(rng.normal(0, 2)), at(900)][: 2 + (i > 5)] for i in range(50)]
    for persons in steps:
        rng.shuffle(persons[:2])
    frames = follow(Tracker(), steps)
    assert {tuple(frame) for frame in frames} == {(0, 1), (0, 1, 2)}
    for id, place in [(0, frames[0][0]), (1, frames[0][1]), (2, 900)]:
        assert all(abs(frame[id] - place) < 20 for frame in frames if id in frame)


@pytest.mark.parametrize('order', [1, -1])
def test_persons_who_pass_each_other_keep_their_ids(order):
    steps = [[at(8 * i), at(403 - 8 * i)][::order] for i in range(50)]
    frames = follow(Tracker(), steps)
    first = [frame[frames[0][0] != 0] for frame in frames]
    np.testing.assert_allclose(first, [8 * i for i in range(50)], atol=1e-6)


def test_a_person_out_of_sight_keeps_its_id_for_a_while():
    steps = [[at(4 * i)] if not 10 <= i < 30 else [] for i in range(50)]
    assert {tuple(frame) for frame in follow(Tracker(patience=1), steps)} == {(0,), ()}
    assert set(follow(Tracker(patience=0.5), steps)[-1]) == {1}


def test_a_step_that_no_person_makes_is_another_person():
    assert [set(frame) for frame in follow(Tracker(), [[at(0)], [at(400)]])] == [{0}, {1}]


def test_lost_joints_do_not_move_a_person():
    rng = np.random.default_rng(2)
    steps = [[at(0), at(60)] for _ in range(30)]
    for person in [person for persons in steps for person in persons]:
        person.joints[rng.random(13) < 0.5] = 0
    assert {tuple(frame) for frame in follow(Tracker(), steps)} == {(0, 1)}


def test_persons_are_followed_in_the_image_if_joints_are_relative_to_the_hip():
    joints = np.random.default_rng(3).normal(0, 0.4, (13, 3))
    tracker = Tracker()
    for i in range(10):
        persons = [Person(joints, image=at(place).joints) for place in (0, 500)][:: (-1) ** i]
        found = tracker.update(persons, i / RATE)
        assert [place_of(found[id].image) for id in (0, 1)] == [0, 500]


def test_ids_of_the_estimator_are_kept():
    assert follow(Tracker(), [[at(0, id=4)], [at(0, id=2), at(9, id=4)]]) == [{4: 0}, {2: 0, 4: 9}]


@pytest.mark.parametrize(
    ('persons', 'time', 'message'),
    [
        ([at(0)], 1, 'time: 1 is not later than 1'),
        ([at(0)], float('nan'), 'time: nan'),
        ([at(0, id=3), at(9, id=3)], 2, 'two persons have the id 3'),
        ([at(0, id=3), at(9)], 2, 'some persons have an id, others have none'),
        ([at(0)], 2, 'some persons have an id, others have none'),
    ],
)
def test_what_cannot_be_followed_is_refused(persons, time, message):
    tracker = Tracker()
    tracker.update([at(0, id=3)], 1)
    with pytest.raises(ValueError, match=message):
        tracker.update(persons, time)

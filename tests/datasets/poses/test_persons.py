from __future__ import annotations

import numpy as np
import pytest

from mmdualhead.datasets.poses import Person, gather


def person(value: float, **known) -> Person:
    return Person(np.full((3, 2), value), **known)


def test_persons_become_rows_in_order_of_appearance():
    frames = [{}, {'b': person(1)}, {'a': person(2), 'b': person(3)}, {'a': person(4)}]
    keypoint, score, ids = gather(frames)
    assert (keypoint.shape, keypoint.dtype, score, ids) == ((2, 4, 3, 2), np.float32, None, ('b', 'a'))
    assert keypoint[:, :, 0, 0].tolist() == [[0, 1, 3, 0], [0, 0, 2, 4]]


def test_scores_are_zero_out_of_sight():
    frames = [{7: person(1, scores=np.array([0.5, 1, 0.2]))}, {}]
    _, score, ids = gather(frames)
    np.testing.assert_allclose(score, [[[0.5, 1, 0.2], [0, 0, 0]]], rtol=1e-6)
    assert ids == (7,)


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([{}, {}], 'no person in any of 2 frames'),
        ([{0: person(1)}, {5: Person(np.ones((4, 2)))}], r'frame 1, person 5: joints of shape \(4, 2\)'),
        ([{0: person(1)}, {0: person(1, scores=np.ones(3))}], 'frame 1, person 0: some persons have scores'),
    ],
)
def test_what_is_not_one_clip_is_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        gather(frames)

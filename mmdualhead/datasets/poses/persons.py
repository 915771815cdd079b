"""The persons of one frame, and those of all frames as one clip.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmdualhead.errors import UserError


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one frame. Missing joints are zero.

    Args:
        joints: (V, C) coordinates: pixels, or x, y and z.
        scores: (V,) confidences, if they are known.
        id: of the person, the same in all frames, if the estimator tracks persons.
        image: (V, 2) pixels, if the joints are not in pixels themselves.
    """

    joints: np.ndarray
    scores: np.ndarray | None = None
    id: Hashable | None = None
    image: np.ndarray | None = None

    @property
    def place(self) -> np.ndarray:
        """(V, C) where it is: in the image, if that is known, since joints may be relative to the hip."""
        return self.joints if self.image is None else self.image


def gather(
    frames: Sequence[Mapping[Hashable, Person]],
) -> tuple[np.ndarray, np.ndarray | None, tuple[Hashable, ...]]:
    """The clip of all persons in a sequence of frames.

    Args:
        frames: for each, the persons in sight by id.

    Returns:
        (M, T, V, C) joints, zero where a person is out of sight; (M, T, V) scores, None if no person has any;
        and the ids of the M persons, in order of appearance.

    Raises:
        UserError: no frame shows a person, persons have joints of different shapes, or only some have scores.
    """
    ids = tuple(dict.fromkeys(id for frame in frames for id in frame))
    if not ids:
        raise UserError(f'no person in any of {len(frames)} frames')
    first = next(person for frame in frames for person in frame.values())
    shape, is_scored = first.joints.shape, first.scores is not None
    keypoint = np.zeros((len(ids), len(frames), *shape), np.float32)
    score = np.zeros(keypoint.shape[:3], np.float32)
    row = {id: i for i, id in enumerate(ids)}
    for t, frame in enumerate(frames):
        for id, person in frame.items():
            if person.joints.shape != shape:
                found = f'joints of shape {person.joints.shape}'
                raise UserError(f'frame {t}, person {id}: {found}, while the first has {shape}')
            if (person.scores is not None) != is_scored:
                raise UserError(f'frame {t}, person {id}: some persons have scores, others have none')
            keypoint[row[id], t] = person.joints
            if person.scores is not None:
                score[row[id], t] = person.scores
    return keypoint, score if is_scored else None, ids

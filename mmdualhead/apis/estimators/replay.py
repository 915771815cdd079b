"""Joints that are known already, in the place of an estimator.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.apis.estimators.base import ESTIMATORS, Estimator
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.datasets.poses import Person
from mmdualhead.datasets.poses.frames import named
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import get_skeleton


@ESTIMATORS.register_module()
class Replay(Estimator):
    """Gives the joints that another program found in the same video, frame by frame.

    Args:
        recording: the joints, whose layout is known; ``numbers`` those of its frames in the video, from 0,
            by default the first ones. Persons without ids are found again by their place.
        image: (M, T, V, 2) pixels, for joints in space.
        unit: of joints in space.

    Raises:
        UserError: the layout is unknown, or arrays do not fit it or each other.
    """

    def __init__(self, recording: Recording, image: Any = None, unit: str | None = None) -> None:
        skeleton = get_skeleton(recording.layout)
        recording = recording.shaped(skeleton)
        joints, ids = recording.keypoint, recording.ids
        if joints.shape[2] != skeleton.num_joints or joints.shape[3] not in (2, 3):
            raise UserError(
                f'keypoint: shape {joints.shape}, expected (M, T, {skeleton.num_joints}, 2 or 3) of '
                f'layout {skeleton.name!r}'
            )
        if skeleton.flat and joints.shape[3] == 3 and recording.keypoint_score is None:
            recording = recording.scores_apart()
        self.layout, self.unit, self.recording, self._next = recording.layout, unit, recording, 0
        self.numbers = range(joints.shape[1]) if recording.numbers is None else recording.numbers
        self._flat = not recording.has_depth(skeleton)
        self._image = None if image is None else np.asarray(image, np.float32)
        if self._image is not None and self._image.shape[:3] != joints.shape[:3]:
            raise UserError(f'image: shape {self._image.shape}, but keypoint has {joints.shape}')
        if ids is not None and len(ids) != len(joints):
            raise UserError(f'ids: {len(ids)}, but there are {len(joints)} persons')

    @classmethod
    def of_file(
        cls,
        path: str | Path,
        layout: Any = None,
        img_shape: tuple[int, int] | None = None,
        count: int | None = None,
        unit: str | None = None,
    ) -> Replay:
        """Replay a recording from a file or folder that ``predict`` reads.

        Args:
            path: of the file.
            layout: of its joints, if the file does not tell.
            img_shape: (height, width) of the video, in whose pixels or fractions the joints are.
            count: the number of frames of the video, if it is known. Joints whose frames have numbers from 0
                or 1 that fit belong to these frames, others to the first ones.
            unit: of joints in space, if the file does not tell.

        Raises:
            UserError: it is not one recording, its layout is not known, or it is of another image size.
            OSError: it cannot be read.
        """
        found = find_recordings([str(path)], img_shape)
        if len(found) != 1:
            raise UserError(f'{path} holds {len(found)} recordings, expected that of one video')
        recording = found[0].read()
        if recording.normalized:
            raise UserError(f'{path}: its joints are not in pixels any more')
        if recording.layout is None and layout is None:
            raise UserError(f'{path} does not tell the layout of its joints; give it by --layout')
        shape = recording.img_shape or img_shape
        if img_shape is not None and shape != tuple(img_shape):
            raise UserError(f'{path}: img_shape is {shape}, but the video has {img_shape}')
        with named(path):
            known = dict(layout=recording.layout or layout, numbers=_places(recording.numbers, count))
            return cls(replace(recording, **known), unit=None if recording.is_in_meters else unit)

    @property
    def count(self) -> int:
        """T."""
        return self.recording.keypoint.shape[1]

    @property
    def flat(self) -> bool:
        """Whether joints are pixels."""
        return self._flat

    def estimate(self, image: np.ndarray, time: float) -> list[Person]:  # noqa: ARG002
        """The persons of the next frame; none where there are no joints."""
        number, self._next = self._next, self._next + 1
        if number not in self.numbers:
            return []
        t, score, ids = self.numbers.index(number), self.recording.keypoint_score, self.recording.ids
        return [
            Person(
                joints=joints[t],
                scores=None if score is None else score[m, t],
                id=None if ids is None else ids[m],
                image=None if self._image is None else self._image[m, t],
            )
            for m, joints in enumerate(self.recording.keypoint)
            if joints[t].any()
        ]


def _places(numbers: range | None, count: int | None) -> range | None:
    """The places from 0 of numbered frames in a video; None if it has no such frames."""
    if numbers is None or count is None or numbers[-1] < count:
        return numbers
    counts_from_one = numbers[0] > 0 and numbers[-1] == count
    return range(numbers.start - 1, numbers.stop - 1, numbers.step) if counts_from_one else None

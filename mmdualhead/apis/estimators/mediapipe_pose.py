"""MediaPipe's PoseLandmarker. V = 33 joints; H, W: size of an image."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.apis.estimators.base import ESTIMATORS, Estimator
from mmdualhead.apis.estimators.bundle import find_bundle
from mmdualhead.datasets.poses import Person
from mmdualhead.errors import UserError
from mmdualhead.utils.quiet import quiet_libraries

TURN = np.array([1, -1, -1], np.float32)
"""MediaPipe's y points down and its z away from the camera; half a turn about x, and y points up."""

FOCAL_LENGTH = 0.9
"""Of the camera, in longer sides of the image; that of common webcams and phones, as it is not known."""

DETECTED = 0.3
"""The least confidence in a new person; MediaPipe's 0.5 misses persons beside others."""

OVERLAP = 0.8
"""MediaPipe takes two persons for one if the squares around them overlap by more
(``min_tracking_confidence``); its 0.5 loses one of two who stand side by side."""

SAME = 0.1
"""Persons are one person twice if their joints are this close on average, in diagonals of a box around them.
Two who hug have 0.15."""


@ESTIMATORS.register_module()
class MediaPipePose(Estimator):
    """MediaPipe's PoseLandmarker: 33 joints of each person in meters, and in pixels.

    MediaPipe gives joints relative to the hips. They are moved to where the person is in front of the camera,
    so that persons have distances and hips move: beside and above by the size of the person in the image, in
    depth also by :data:`FOCAL_LENGTH`.

    Args:
        model: a file of MediaPipe's (``*.task``); by default the full model, fetched once.
        max_persons: the most persons in a frame. MediaPipe searches for more in each frame until it has found
            as many, so a number larger than needed takes time.

    Raises:
        ImportError: MediaPipe is missing.
        FileNotFoundError: the file is missing.
        UserError: it is not a bundle of MediaPipe, or could not be fetched; or the number is below 1.
    """

    layout = 'mediapipe'
    unit = 'm'

    def __init__(self, model: str | Path | None = None, max_persons: int = 2) -> None:
        if find_spec('mediapipe') is None:
            raise ImportError(
                'estimating poses needs MediaPipe: pip install "mmdualhead[video]" (or mediapipe)'
            )
        if max_persons < 1:
            raise UserError(f'max_persons is {max_persons}, expected 1 or more')
        path = find_bundle(model)
        self._latest, self._is_quiet = -1, False
        with quiet_libraries():
            self._landmarker = self._open(path, max_persons)

    def _open(self, path: Path, max_persons: int) -> Any:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=max_persons,
            min_pose_detection_confidence=DETECTED,
            min_tracking_confidence=OVERLAP,
        )
        try:
            return vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(
                f'{path} is not a PoseLandmarker of MediaPipe: {str(error).splitlines()[0]}'
            ) from error

    def estimate(self, image: np.ndarray, time: float) -> list[Person]:
        """The persons in the next frame."""
        import mediapipe

        # MediaPipe counts milliseconds, and refuses the same one twice.
        self._latest = max(self._latest + 1, round(1000 * time))
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        if self._is_quiet:
            found = self._landmarker.detect_for_video(picture, self._latest)
        else:  # its libraries tell of themselves with the first frame
            with quiet_libraries():
                found = self._landmarker.detect_for_video(picture, self._latest)
            self._is_quiet = True
        height, width = image.shape[:2]
        size = np.array([width, height], np.float32)
        pairs = zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
        return distinct([_person(landmarks, world, size) for landmarks, world in pairs])

    def close(self) -> None:
        """End MediaPipe's threads."""
        with quiet_libraries():
            self._landmarker.close()


def _person(landmarks: Sequence[Any], world: Sequence[Any], size: np.ndarray) -> Person:
    image = np.array([(point.x, point.y) for point in landmarks], np.float32) * size
    meters = np.array([(point.x, point.y, point.z) for point in world], np.float32)
    scores = np.array([point.visibility for point in landmarks], np.float32)
    return Person(joints=in_space(meters, image, size), scores=scores, image=image)


def in_space(world: np.ndarray, image: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Joints relative to the hips, turned upright and moved to where the person is.

    Args:
        world: (V, 3) meters, y down, z away from the camera.
        image: (V, 2) pixels.
        size: width and height of the image.

    Returns:
        (V, 3) meters: y up, z towards the camera, which is at the origin.
    """
    meters, pixels = world[:, :2] - world[:, :2].mean(0), image - image.mean(0)
    scale = max(float(np.linalg.norm(pixels)) / max(float(np.linalg.norm(meters)), 1e-6), 1.0)
    hips = image.mean(0) - scale * world[:, :2].mean(0) - size / 2
    place = np.array([*hips, FOCAL_LENGTH * size.max()], np.float32) / scale
    return ((world + place) * TURN).astype(np.float32)


def distinct(persons: Sequence[Person]) -> list[Person]:
    """The persons without those that MediaPipe found twice; the one with the higher scores is kept."""
    kept: list[Person] = []
    for person in sorted(persons, key=_confidence, reverse=True):
        boxes = [float(np.linalg.norm(np.ptp(other.place, axis=0))) for other in kept]
        apart = [float(np.linalg.norm(other.place - person.place, axis=1).mean()) for other in kept]
        if all(distance >= SAME * box for distance, box in zip(apart, boxes, strict=True)):
            kept.append(person)
    return kept


def _confidence(person: Person) -> float:
    return 0.0 if person.scores is None else float(person.scores.mean())

"""Cameras that see 3-D recordings as an estimator of 2-D poses would.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.body import midpoints, trunk_lengths
from mmdualhead.datasets.transforms.normalize import X_AXIS, rotation_about
from mmdualhead.datasets.transforms.step import Step
from mmdualhead.errors import UserError
from mmdualhead.network_input import Share
from mmdualhead.skeletons import Skeleton, convert_layout, get_skeleton

Y_AXIS = np.array([0.0, 1.0, 0.0])

IMG_SHAPE = (1080, 1920)
"""(height, width) of a camera's image."""

NEAREST = 0.1
"""Points nearer to the camera's plane, in meters, are not in the image."""

UPRIGHT, FACING = 0.8, 0.5
"""How much of a mean direction has to remain of its length in the frames."""

LOST_FRAMES = 5
"""The mean number of frames for which a joint is lost."""

Range = float | tuple[float, float]
"""A number, or the ends of a range to draw one from."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera around a person who faces the sensor of the recording.

    Recordings have the axes of the Kinect: x to the left of the sensor, so that the person's left is at -x,
    y up, z away from the sensor. With all angles at 0, the camera looks in the direction of the sensor.

    Args:
        yaw: degrees that the camera stands to the person's left.
        pitch: degrees above the horizontal.
        roll: degrees that the camera is turned clockwise.
        distance: meters from the person.
        img_shape: (height, width); the focal length is the height.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 3.5
    img_shape: tuple[int, int] = IMG_SHAPE

    def project(self, points: np.ndarray) -> np.ndarray:
        """The pixels of points, x to the right and y down; NaN for those that are not in front of the camera.

        Args:
            points: (..., 3) in meters, relative to the point in the middle of the image.

        Returns:
            (..., 2).
        """
        yaw, pitch, roll = np.radians([self.yaw, self.pitch, self.roll])
        turned = points @ (rotation_about(X_AXIS, -pitch) @ rotation_about(Y_AXIS, -yaw)).T
        depth = turned[..., 2] + self.distance
        depth = np.where(depth < NEAREST, np.nan, depth)
        height, width = self.img_shape
        x, y = (-height * turned[..., axis] / depth for axis in (0, 1))
        cos, sin = np.cos(roll), np.sin(roll)
        return np.stack([width / 2 + cos * x + sin * y, height / 2 - sin * x + cos * y], -1)


def frontal_view(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """What a distant camera in front of each person would see: x to the person's left, y down.

    The front is perpendicular to the line of hips and shoulders, on average, and to the axis that points up.
    So neither the direction nor the handedness of the axes enters.

    Args:
        keypoint: (M, T, V, 3), missing joints as zero.
        skeleton: the layout, with a head, shoulders and hips.

    Returns:
        (M, T, V, 2), missing joints as zero.

    Raises:
        UserError: a person does not show where up and left are: without the joints, lying or turning around.
    """
    x = np.where(keypoint.any(-1, keepdims=True), keypoint, np.nan).astype(np.float64)
    views = np.zeros((*x.shape[:3], 2))
    for person in np.flatnonzero(np.isfinite(x).any((1, 2, 3))):
        up, left = _directions(x[person], skeleton, int(person))
        views[person] = np.stack([x[person] @ left, x[person] @ -up], -1)
    return np.nan_to_num(views, nan=0.0)


def _directions(person: np.ndarray, skeleton: Skeleton, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors up, along an axis, and to the person's left, perpendicular to it; from (T, V, 3)."""
    head = person[:, skeleton.joints.index('head')]
    spine, across = head - midpoints(person, skeleton, 'hip'), _widths(person, skeleton)
    known = np.isfinite(spine).all(-1) & np.isfinite(across).all(-1)
    if not known.any():
        raise UserError(
            f'keypoint: person {number}: no frame shows head, shoulders and hips, which define the front'
        )
    spine, across = spine[known], across[known]
    mean = spine.mean(0)
    axis = int(np.abs(mean).argmax())
    up = np.eye(3)[axis] * np.sign(mean[axis])
    left = across.mean(0) * (np.arange(3) != axis)
    if mean @ up < UPRIGHT * np.linalg.norm(spine, axis=-1).mean():
        raise UserError(f'keypoint: person {number} is not upright on average, so the front is not defined')
    if np.linalg.norm(left) < FACING * np.linalg.norm(across, axis=-1).mean():
        raise UserError(f'keypoint: person {number} turns around, so the front is not defined')
    return up, left / np.linalg.norm(left)


def _widths(person: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """From the right to the left of hips and shoulders together, (T, 3)."""
    names = [
        skeleton.joints.index(f'{side} {place}')
        for side in ('left', 'right')
        for place in ('hip', 'shoulder')
    ]
    return np.asarray(person[:, names[:2]].mean(1) - person[:, names[2:]].mean(1))


def lose_joints(shape: Sequence[int], share: float) -> np.ndarray:
    """(M, T, V) True for joints that are lost, about ``share`` of them, for some frames in a row, not all."""
    frames = np.arange(shape[1])[:, None]
    begins = np.random.random_sample(shape) < share / LOST_FRAMES
    lasting = np.random.geometric(1 / LOST_FRAMES, shape)
    until = np.maximum.accumulate(np.where(begins, frames + lasting, 0), axis=1)
    lost = frames < until
    return np.asarray(lost & ~lost.all(1, keepdims=True))  # a short clip keeps its hips


@TRANSFORMS.register_module()
class VirtualCamera(Step):
    """Replace 3-D joints by what an estimator of 2-D poses would find in the images of a :class:`Camera`.

    Every argument of it, and of the errors, is a number, or a range (low, high) from which one is drawn for
    each clip. The errors are simulated; a real estimator has others.

    Required keys: keypoint (M, T, V, 3) in meters. Modified: keypoint (M, T, V', 2) in pixels. Added:
    keypoint_score, 0 for lost joints, else 1; img_shape.

    Args:
        layout: name or definition of the layout of the recordings.
        target: the layout to convert them to.
        yaw, pitch, roll, distance: see :class:`Camera`.
        bias: how far the estimator's idea of each joint is from the recording's: the standard deviation in
            lengths of the trunk, constant in a clip.
        noise: standard deviation of the error in each frame, in lengths of the trunk.
        lost: the share of joints that are lost, for some frames in a row.
        img_shape: (height, width) of the image.
    """

    @staticmethod
    def network_input(layout: Any = 'kinect_v1', target: Any = 'body_13', **_: Any) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(skeleton=get_skeleton(target), recorded=get_skeleton(layout))

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'kinect_v1',
        target: str | Mapping[str, Any] = 'body_13',
        *,
        yaw: Range = 0.0,
        pitch: Range = 0.0,
        roll: Range = 0.0,
        distance: Range = 3.5,
        bias: Range = 0.0,
        noise: Range = 0.0,
        lost: Range = 0.0,
        img_shape: tuple[int, int] = IMG_SHAPE,
    ) -> None:
        self.skeleton, self.target = get_skeleton(layout), get_skeleton(target)
        self.yaw, self.pitch, self.roll, self.distance = yaw, pitch, roll, distance
        self.bias, self.noise, self.lost = bias, noise, lost
        height, width = img_shape
        self.img_shape = (height, width)

    def transform(self, results: dict) -> dict:
        joints = convert_layout(results['keypoint'], self.skeleton, self.target)
        joints = np.where(joints.any(-1, keepdims=True), joints, np.nan).astype(np.float64)
        if np.isfinite(joints).any():
            joints = joints - np.nanmedian(joints, axis=(0, 1, 2))
        views = ('yaw', 'pitch', 'roll', 'distance')
        camera = Camera(**{view: _draw(getattr(self, view)) for view in views}, img_shape=self.img_shape)
        pixels = self._disturbed(camera.project(joints))
        seen = np.isfinite(pixels).all(-1)
        results['keypoint'] = np.where(seen[..., None], pixels, 0).astype(np.float32)
        results['keypoint_score'] = seen.astype(np.float32)
        results['img_shape'] = self.img_shape
        return results

    def _disturbed(self, pixels: np.ndarray) -> np.ndarray:
        """With the errors of an estimator; lost joints are NaN."""
        lengths = trunk_lengths(pixels, self.target)
        trunk = np.median(lengths[np.isfinite(lengths)]) if np.isfinite(lengths).any() else 0.0
        persons, _, joints, _ = pixels.shape
        bias, noise, lost = (_draw(one) for one in (self.bias, self.noise, self.lost))
        error = bias * np.random.normal(size=(persons, 1, joints, 2))
        error = error + noise * np.random.normal(size=pixels.shape)
        return np.where(lose_joints(pixels.shape[:3], lost)[..., None], np.nan, pixels + trunk * error)


def _draw(value: Range) -> float:
    return float(np.random.uniform(*value)) if isinstance(value, Sequence) else float(value)

"""Fit recordings to networks: what concerns both. What concerns a recording alone is a method of its own.

All predictions go through :func:`fit`. M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.checks import is_picture
from mmdualhead.datasets.plausibility import UNIT_SIZES, check_unit, judge
from mmdualhead.datasets.poses.mediapipe import check_landmarks
from mmdualhead.datasets.recording import Recording
from mmdualhead.datasets.transforms.body import sure_joints
from mmdualhead.datasets.transforms.camera import frontal_view
from mmdualhead.errors import UserError, report
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import Skeleton, conversion, get_skeleton
from mmdualhead.utils.reading import shown

LARGEST_FRACTION = 2.0
"""Joints with no larger coordinates are in fractions of an image; a person in pixels has larger ones."""


def fit(
    recording: Recording,
    network_input: NetworkInput,
    *,
    layout: Any = None,
    unit: str | None = None,
    img_shape: tuple[int, int] | None = None,
    most_active: bool = False,
) -> Recording:
    """Check a recording and bring it into the form that a network was trained on.

    Args:
        recording: as read.
        network_input: the input of the network.
        layout: the layout of the recording, if the recording does not name it; the network's by default.
        unit: of the coordinates, if the recording does not name it: ``'m'``, ``'cm'`` or ``'mm'``. ``'m'``
            uses the values as they are, None also checks that they could be meters.
        img_shape: (height, width) of the image that joints refer to, if the recording does not have it.
        most_active: let the pipeline keep the most active persons if there are too many.

    Returns:
        The recording, in the layout of the network.

    Raises:
        UserError: it cannot be predicted; the message names the field, and the person and the joint if there
            is one.
    """
    check_unit(unit)
    img_shape = _image_size(img_shape)
    wanted, in_any_image = network_input.skeleton, network_input.takes_any_picture
    if wanted is None:
        raise UserError('layout: the model does not name the layout of its joints')
    # The given layout is looked up also if the recording has its own: a wrong name is a mistake.
    given = recording.skeleton(get_skeleton(layout or wanted))
    recording = replace(recording, img_shape=_image_size(recording.img_shape)).shaped(given)

    if wanted.flat and not in_any_image:
        recording = recording.in_pixels(img_shape)
    elif not (in_any_image or recording.annotated):
        recording = replace(recording, keypoint_score=None)  # networks for joints in space take no scores
    _check(recording, given, network_input, most_active)

    if in_any_image:
        recording = _in_one_unit(recording, given, img_shape)
    elif not wanted.flat:
        recording = _in_meters(recording, given, unit)
    recording = recording.converted(given, wanted)

    if in_any_image or unit != 'm':
        recording = _judged(recording, network_input)
    if in_any_image:
        return _from_the_front(recording, wanted)
    return _centered(recording, network_input)


def suits(recording: Recording, skeleton: Skeleton, layout: Any = None) -> bool:
    """True if a network for joints in space can take a recording: with depth, and all joints.

    Args:
        recording: as read.
        skeleton: the layout of the network.
        layout: of the recording, if it does not name it; a third coordinate of an unknown one is a depth.
    """
    given = recording.skeleton(layout or skeleton)
    return recording.has_depth(given) and not conversion(given, skeleton)[1]


def _image_size(img_shape: Any) -> tuple[int, int] | None:
    """The (height, width) of an image, if it is known; (1, 1) is one, for joints in units of it."""
    if img_shape is not None and not is_picture(img_shape):
        raise UserError(f'img_shape: expected the height and width of the image, found {shown(img_shape)}')
    return None if img_shape is None else tuple(img_shape)


def _check(recording: Recording, given: Skeleton, network_input: NetworkInput, most_active: bool) -> None:
    """Refuse what the network cannot take: other coordinates, what are not joints, too many persons."""
    found = recording.keypoint.shape[3]
    if network_input.needs_picture and recording.img_shape is None:
        raise UserError('img_shape: the model expects pixels; give the height and width of the image')
    if network_input.needs_depth and found != 3:
        raise UserError(
            f'keypoint: {found} coordinates per joint, the model expects x, y, z; joints in an image need a '
            'model that was trained on such joints'
        )
    if found not in (2, 3):
        raise UserError(f'keypoint: {found} coordinates per joint, expected 2 or 3')
    if recording.keypoint.shape[2] == given.num_joints:
        recording.check_numbers(given)
    if not (most_active or recording.annotated):
        _check_persons(recording.keypoint, network_input.num_person)


def _check_persons(keypoint: np.ndarray, most: int | None) -> None:
    persons = np.flatnonzero(keypoint.any((1, 2, 3)))
    if most is None or len(persons) <= most:
        return
    swapped = len(keypoint) > keypoint.shape[1]
    advice = 'remove some, or keep the most active ones (most_active=True, --most-active)'
    raise UserError(
        f'keypoint: {len(persons)} persons ({", ".join(map(str, persons))}) in {keypoint.shape[1]} frames, '
        f'the model takes {most}; '
        + ('if the axes are (T, M, V, C), exchange the first two, otherwise ' if swapped else '')
        + advice
    )


def _in_meters(recording: Recording, given: Skeleton, unit: str | None) -> Recording:
    """Joints in space in meters, if their unit is known; otherwise they are judged."""
    if recording.is_in_meters:
        return recording
    if unit is not None:
        return replace(recording, keypoint=recording.keypoint / UNIT_SIZES[unit])
    if not recording.annotated:
        check_landmarks(recording.keypoint, given)
    return recording


def _in_one_unit(recording: Recording, given: Skeleton, img_shape: tuple[int, int] | None) -> Recording:
    """Joints in an image in the same unit in x and y, without those of low confidence."""
    if recording.has_depth(given):
        return recording
    keypoint = sure_joints(recording.keypoint, recording.keypoint_score)
    if np.abs(keypoint).max() <= LARGEST_FRACTION:
        shape = recording.img_shape or img_shape
        if shape is None:
            raise UserError(
                'keypoint: coordinates look like fractions of an image, whose sides differ; give '
                'img_shape=(height, width), or (1, 1) if they have the same unit in x and y'
            )
        keypoint = keypoint * np.array(shape[::-1], keypoint.dtype)
    return replace(recording, keypoint=keypoint, keypoint_score=None)


def _judged(recording: Recording, network_input: NetworkInput) -> Recording:
    """With notes on what looks unusual."""
    # The scale of its training tells the unit of a data set, if it is known.
    is_known = recording.is_in_meters or (recording.annotated and network_input.scale is not None)
    notes = list(recording.notes)
    image = _image_of(recording, network_input)
    report(judge(recording.keypoint, network_input, image, is_known), notes.append)
    return replace(recording, notes=tuple(notes))


def _image_of(recording: Recording, network_input: NetworkInput) -> tuple[int, int] | None:
    """(height, width) of the image in whose pixels the joints are; None if they are not pixels."""
    if network_input.normalization.startswith('2d'):
        return recording.img_shape or network_input.img_shape
    is_flat = network_input.skeleton is not None and network_input.skeleton.flat
    # A test uses annotations as they are.
    return recording.img_shape if is_flat and not recording.annotated else None


def _from_the_front(recording: Recording, skeleton: Skeleton) -> Recording:
    """Joints in space as seen in an image; those in an image as they are."""
    if recording.keypoint.shape[3] == 2:
        return recording
    note = 'keypoint: in space, seen from the front'
    view = frontal_view(recording.keypoint, skeleton)
    return replace(recording, keypoint=view, notes=(*recording.notes, note))


def _centered(recording: Recording, network_input: NetworkInput) -> Recording:
    """Poses in pixels as Kinetics-Skeleton has them, for pipelines that do not normalize them.

    ``x / width - 0.5``, ``y / height - 0.5`` and the score as third coordinate; zero if the score is zero or
    the joint is missing.
    """
    image = _image_of(recording, network_input)
    if image is None or network_input.normalization.startswith('2d'):
        return recording
    height, width = image
    keypoint, score = recording.keypoint, np.asarray(recording.keypoint_score)
    centered = np.concatenate([keypoint / (width, height) - 0.5, score[..., None]], -1)
    present = ((score > 0) & keypoint.any(-1))[..., None]
    return replace(recording, keypoint=centered.astype(np.float32) * present, keypoint_score=None)

"""Fit recordings to networks: what concerns both. What concerns a recording alone is a method of Recording.

All predictions go through :func:`fit`. M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mmdualhead.datasets.plausibility import UNIT_SIZES, check_unit, judge
from mmdualhead.datasets.poses.mediapipe import check_landmarks
from mmdualhead.datasets.recording import Recording, image_size
from mmdualhead.datasets.transforms.body import sure_joints
from mmdualhead.datasets.transforms.camera import frontal_view
from mmdualhead.datasets.transforms.formatting import most_active as most_active_of
from mmdualhead.errors import UserError, report
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import Skeleton, get_skeleton

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
        most_active: keep the most active persons if there are too many.

    Returns:
        The recording, in the layout of the network.

    Raises:
        UserError: it cannot be predicted; the message names the field, and the person and the joint if there
            is one.
    """
    check_unit(unit)
    img_shape = image_size(img_shape)
    wanted = network_input.skeleton
    if wanted is None:
        raise UserError('layout: the model does not name the layout of its joints')
    named = get_skeleton(layout or wanted)  # also if the recording has its own: a wrong name is a mistake
    given = get_skeleton(recording.layout or named)
    in_space = not (network_input.takes_pixels or network_input.takes_any_picture)

    recording = recording.shaped(given)
    if in_space and not recording.annotated:
        recording = replace(recording, keypoint_score=None)  # such networks take no scores
    if network_input.takes_pixels:
        recording = recording.in_pixels(img_shape)
    recording.check_numbers(given)
    _check(recording, network_input)
    recording = _with_few_persons(recording, network_input.num_person, most_active)
    if in_space:
        recording = _in_meters(recording, given, unit)
    if network_input.takes_any_picture and not recording.has_depth(given):
        recording = _in_one_unit(recording, img_shape)
    recording = recording.converted(given, wanted)
    recording = _judged(recording, network_input, unit)
    return _as_trained(recording, network_input, wanted)


def check_image(network_input: NetworkInput, img_shape: tuple[int, int] | None) -> None:
    """Refuse joints in an image of unknown size, if the network needs it."""
    if network_input.needs_picture and img_shape is None:
        raise UserError('img_shape: the model expects pixels; give the height and width of the image')


def _check(recording: Recording, network_input: NetworkInput) -> None:
    """Refuse joints that the network cannot take."""
    coordinates = recording.keypoint.shape[3]
    check_image(network_input, recording.img_shape)
    if network_input.needs_depth and coordinates != 3:
        raise UserError(
            f'keypoint: {coordinates} coordinates per joint, the model expects x, y, z; joints in an image '
            'need a model that was trained on such joints'
        )
    if coordinates not in (2, 3):
        raise UserError(f'keypoint: {coordinates} coordinates per joint, expected 2 or 3')


def _with_few_persons(recording: Recording, most: int | None, most_active: bool) -> Recording:
    """With no more persons than the model takes, the most active ones, or an error; of a data set, all."""
    keypoint = recording.keypoint
    persons = np.flatnonzero(keypoint.any((1, 2, 3)))
    if most is None or len(keypoint) <= most:
        return recording
    if len(persons) <= most:  # MMAction2's last step keeps the first rows, which may be empty
        return recording if recording.annotated else recording.of_persons(persons)
    if recording.annotated:
        note = f'keypoint: {len(persons)} persons, the model takes {most}; its pipeline chooses, as in a test'
        return replace(recording, notes=(*recording.notes, note))
    if not most_active:
        swapped = len(keypoint) > keypoint.shape[1]
        advice = 'if the axes are (T, M, V, C), exchange the first two, otherwise ' if swapped else ''
        raise UserError(
            f'keypoint: {len(persons)} persons ({", ".join(map(str, persons))}) in {keypoint.shape[1]} '
            f'frames, the model takes {most}; {advice}remove some, or keep the most active ones '
            '(most_active=True, --most-active)'
        )
    # Not left to the pipeline: MMAction2's last step keeps the first.
    rows = most_active_of(keypoint, most)
    note = f'keypoint: of {len(persons)} persons the most active are kept ({", ".join(map(str, rows))})'
    return replace(recording.of_persons(rows), notes=(*recording.notes, note))


def _in_meters(recording: Recording, given: Skeleton, unit: str | None) -> Recording:
    """Joints in space, if their unit is known; others must not be fractions of an image."""
    if recording.is_in_meters:
        return recording
    if unit is not None:
        return replace(recording, keypoint=recording.keypoint / UNIT_SIZES[unit])
    if not recording.annotated:
        check_landmarks(recording.keypoint, given)
    return recording


def _in_one_unit(recording: Recording, img_shape: tuple[int, int] | None) -> Recording:
    """Joints in an image, without those of low confidence, in the same unit in x and y."""
    keypoint = sure_joints(recording.keypoint, recording.keypoint_score)
    if np.abs(keypoint).max() <= LARGEST_FRACTION:
        img_shape = recording.img_shape or img_shape
        if img_shape is None:
            raise UserError(
                'keypoint: coordinates look like fractions of an image, whose sides differ; give '
                'img_shape=(height, width), or (1, 1) if they have the same unit in x and y'
            )
        keypoint = keypoint * np.array(img_shape[::-1], keypoint.dtype)
    return replace(recording, keypoint=keypoint, keypoint_score=None)


def _judged(recording: Recording, network_input: NetworkInput, unit: str | None) -> Recording:
    """With notes on what looks unusual, unless the numbers are to be used as they are."""
    if unit == 'm' and not network_input.takes_any_picture:
        return recording
    # The scale of its training tells the unit of a data set, if it is known.
    is_known = recording.is_in_meters or (recording.annotated and network_input.scale is not None)
    notes, image = list(recording.notes), _image_of(recording, network_input)
    report(judge(recording.keypoint, network_input, image, is_known), notes.append)
    return replace(recording, notes=tuple(notes))


def _image_of(recording: Recording, network_input: NetworkInput) -> tuple[int, int] | None:
    """(height, width) of the image in whose pixels the joints are; None if they are not pixels."""
    if network_input.normalizes_pixels:
        return recording.img_shape or network_input.img_shape
    # A test uses annotations as they are.
    return recording.img_shape if network_input.takes_pixels and not recording.annotated else None


def _as_trained(recording: Recording, network_input: NetworkInput, wanted: Skeleton) -> Recording:
    """Joints in pixels, centered for networks that do not do so; in space, seen as any image."""
    image = _image_of(recording, network_input)
    if image is not None and not network_input.normalizes_pixels:
        return _centered(recording, image)
    if network_input.takes_any_picture and recording.keypoint.shape[3] == 3:
        note = 'keypoint: in space, seen from the front'
        view = frontal_view(recording.keypoint, wanted)
        return replace(recording, keypoint=view, notes=(*recording.notes, note))
    return recording


def _centered(recording: Recording, img_shape: tuple[int, int]) -> Recording:
    """Joints in pixels as Kinetics-Skeleton has them, for pipelines that do not normalize them.

    ``x / width - 0.5``, ``y / height - 0.5`` and the score as third coordinate; zero if the score is zero or
    the joint is missing.
    """
    height, width = img_shape
    keypoint, score = recording.keypoint, np.asarray(recording.keypoint_score)
    centered = np.concatenate([keypoint / (width, height) - 0.5, score[..., None]], -1)
    present = ((score > 0) & keypoint.any(-1))[..., None]
    return replace(recording, keypoint=centered.astype(np.float32) * present, keypoint_score=None)

"""Fit recordings to networks: layout, axes, unit, image coordinates, in this order.

All predictions go through :func:`fit`. M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.checks import is_picture
from mmdualhead.datasets.plausibility import UNIT_SIZES, judge, judge_axes
from mmdualhead.datasets.poses.mediapipe import judge_landmarks
from mmdualhead.datasets.recording import Recording
from mmdualhead.datasets.transforms.body import SCORED, sure_joints
from mmdualhead.datasets.transforms.camera import frontal_view
from mmdualhead.datasets.transforms.formatting import most_active as most_active_of
from mmdualhead.errors import UserError, report
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import MEDIAPIPE, SKELETONS, Skeleton, conversion, get_skeleton
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
        most_active: keep the most active persons if there are too many.

    Returns:
        The recording, in the layout of the network.

    Raises:
        UserError: it cannot be predicted; the message names the field, and the person and the joint if there
            is one.
    """
    if unit is not None and unit not in UNIT_SIZES:
        raise UserError(f'unit: {unit!r} is not one of {", ".join(UNIT_SIZES)}')
    img_shape = _picture(img_shape)
    recording = replace(recording, img_shape=_picture(recording.img_shape))
    wanted = network_input.skeleton
    if wanted is None:
        raise UserError('layout: the model does not name the layout of its joints')
    given = get_skeleton(layout or wanted)  # also if the recording has its own: a wrong name is a mistake
    given = get_skeleton(recording.layout or given)
    recording = with_persons(recording, given)
    if network_input.takes_any_picture:
        _check_numbers(recording, given, network_input, most_active)
        recording = _with_few_persons(recording, network_input.num_person)
        return _in_any_picture(recording, given, wanted, img_shape)
    if not (wanted.flat or recording.annotated):
        recording = replace(recording, keypoint_score=None)  # networks for joints in space take no scores
    if wanted.flat:
        recording = _with_picture(recording, network_input, img_shape)
    _check_numbers(recording, given, network_input, most_active)
    recording = _with_few_persons(recording, network_input.num_person)
    is_in_meters = recording.layout is not None and not recording.annotated
    if unit is None and not (is_in_meters or recording.annotated or wanted.flat):
        _check_landmarks(recording.keypoint, given)
    if unit is not None and not (is_in_meters or wanted.flat):
        recording = replace(recording, keypoint=recording.keypoint / UNIT_SIZES[unit])
    shape = _picture_of(recording, network_input)
    recording = _converted(recording, given, wanted)
    notes = list(recording.notes)
    if unit != 'm':
        # The scale of its training tells the unit of a data set, if it is known.
        is_known = is_in_meters or (recording.annotated and network_input.scale is not None)
        report(judge(recording.keypoint, network_input, shape, is_known), notes.append)
    recording = replace(recording, notes=tuple(notes))
    if shape is None or network_input.normalization.startswith('2d'):
        return recording
    return _centered(recording, shape)


def suits(recording: Recording, skeleton: Skeleton, layout: Any = None) -> bool:
    """True if a network for joints in space can take a recording: with depth, and all joints.

    Args:
        recording: as read.
        skeleton: the layout of the network.
        layout: of the recording, if it does not name it; a third coordinate of an unknown one is a depth.
    """
    named = recording.layout or layout
    given = get_skeleton(named or skeleton)
    return _has_depth(recording, given) and not conversion(given, skeleton)[1]


def _has_depth(recording: Recording, given: Skeleton) -> bool:
    return not given.flat and np.shape(recording.keypoint)[-1:] != (2,)


def _in_any_picture(
    recording: Recording, given: Skeleton, wanted: Skeleton, img_shape: tuple[int, int] | None
) -> Recording:
    """For networks that normalize by the body: one unit in x and y; joints in space seen from the front."""
    if _has_depth(recording, given):
        recording = _converted(recording, given, wanted)
        note = 'keypoint: in space, seen from the front'
        return replace(
            recording, keypoint=frontal_view(recording.keypoint, wanted), notes=(*recording.notes, note)
        )
    keypoint = sure_joints(recording.keypoint, recording.keypoint_score)
    notes = list(recording.notes)
    report(judge_axes(keypoint, given), notes.append)
    if np.abs(keypoint).max() <= LARGEST_FRACTION:
        shape = recording.img_shape or img_shape
        if shape is None:
            raise UserError(
                'keypoint: coordinates look like fractions of an image, whose sides differ; give '
                'img_shape=(height, width), or (1, 1) if they have the same unit in x and y'
            )
        keypoint = keypoint * np.array(shape[::-1], keypoint.dtype)
    fitted = replace(recording, keypoint=keypoint, keypoint_score=None, notes=tuple(notes))
    return _converted(fitted, given, wanted)


def _check_numbers(
    recording: Recording, given: Skeleton, network_input: NetworkInput, most_active: bool
) -> None:
    keypoint = recording.keypoint
    recording.check_axes()
    _check_coordinates(keypoint.shape[3], network_input.needs_depth)
    if keypoint.shape[2] == given.num_joints:
        recording.check_numbers(given)
    if not (most_active or recording.annotated):
        _check_persons(keypoint, network_input.num_person)


def _with_few_persons(recording: Recording, most: int | None) -> Recording:
    """With the most active persons, if there are more than the model takes; of a data set, with all."""
    persons = np.flatnonzero(recording.keypoint.any((1, 2, 3)))
    if most is None or len(persons) <= most:
        return recording
    if recording.annotated:
        note = f'keypoint: {len(persons)} persons, the model takes {most}; its pipeline chooses, as in a test'
        return replace(recording, notes=(*recording.notes, note))
    # Not left to the pipeline: MMAction2's last step keeps the first.
    rows = most_active_of(recording.keypoint, most)
    score, ids = recording.keypoint_score, recording.ids
    note = f'keypoint: of {len(persons)} persons the most active are kept ({", ".join(map(str, rows))})'
    return replace(
        recording,
        keypoint=recording.keypoint[rows],
        keypoint_score=None if score is None else score[rows],
        ids=None if ids is None else tuple(ids[row] for row in rows),
        notes=(*recording.notes, note),
    )


def _converted(recording: Recording, given: Skeleton, wanted: Skeleton) -> Recording:
    """In the layout of the network."""
    _check_joints(recording.keypoint, given, wanted)
    if (given.joints, given.bones) == (wanted.joints, wanted.bones):
        return recording
    return recording.converted(given, wanted)


def with_persons(recording: Recording, given: Skeleton) -> Recording:
    """A recording as read, with numbers (M, T, V, C) of a floating-point type.

    Raises:
        UserError: it has no numbers of such a shape.
    """
    keypoint = _unmasked(recording.keypoint)
    if keypoint.dtype.kind not in 'fiu' or keypoint.ndim not in (3, 4):
        raise UserError(
            'keypoint: expected numbers of shape (T, V, C) or (M, T, V, C), found '
            f'{keypoint.dtype} {keypoint.shape}'
        )
    keypoint = keypoint if keypoint.ndim == 4 else keypoint[None]
    if recording.regroup and prod(keypoint.shape[2:]) in (2 * given.num_joints, 3 * given.num_joints):
        keypoint = keypoint.reshape(*keypoint.shape[:2], given.num_joints, -1)
    if not all(keypoint.shape[:2]):
        missing = 'no frames' if not keypoint.shape[1] else 'no person'
        raise UserError(f'keypoint: {missing}, shape {keypoint.shape}')
    score = recording.keypoint_score
    # A test uses the half precision of an annotation file as it is.
    kept = (np.float32, np.float64, *([np.float16] if recording.annotated else []))
    return replace(
        recording,
        keypoint=_as_float(keypoint, kept),
        keypoint_score=None if score is None else _as_float(_unmasked(score), kept),
    )


def _unmasked(numbers: Any) -> np.ndarray:
    """An array; NumPy would take what is masked as if it were not."""
    is_masked = isinstance(numbers, np.ma.MaskedArray)
    return numbers.astype(float).filled(np.nan) if is_masked else np.asarray(numbers)


def _as_float(numbers: np.ndarray, kept: tuple[type, ...]) -> np.ndarray:
    return numbers if numbers.dtype in kept else numbers.astype(np.float32)


def _with_picture(
    recording: Recording, network_input: NetworkInput, img_shape: tuple[int, int] | None
) -> Recording:
    """With the size of the image and, for joints in pixels, separate confidences, as pipelines expect."""
    if not recording.normalized:
        recording = replace(recording, img_shape=recording.img_shape or img_shape)
    keypoint = recording.keypoint
    if recording.img_shape is None and network_input.needs_picture:
        raise UserError('img_shape: the model expects pixels; give the height and width of the image')
    if recording.annotated or recording.img_shape is None:
        return recording
    if keypoint.shape[3] == SCORED:
        return recording.scores_apart()
    if recording.keypoint_score is not None:
        return recording
    note = 'keypoint_score: not given, assumed to be 1 for each joint present'
    score = keypoint.any(-1).astype(np.float32)
    return replace(recording, keypoint_score=score, notes=(*recording.notes, note))


def _picture_of(recording: Recording, network_input: NetworkInput) -> tuple[int, int] | None:
    """(height, width) of the image that the joints are in; None if they are not pixels."""
    if network_input.normalization.startswith('2d'):
        return recording.img_shape or network_input.img_shape
    return None if recording.annotated else recording.img_shape  # a test uses those as they are


def _check_landmarks(keypoint: np.ndarray, given: Skeleton) -> None:
    """Refuse MediaPipe's picture landmarks as an array of joints in space."""
    if given.joints != MEDIAPIPE.joints or keypoint.shape[2:] != (MEDIAPIPE.num_joints, 3):
        return
    if judge_landmarks(keypoint[keypoint.any((2, 3))]) is False:
        raise UserError(
            'keypoint: coordinates look like picture landmarks, fractions of the image whose z is not a '
            "distance; give world landmarks, or x and y alone with img_shape=(height, width); unit='m' uses "
            'the numbers as they are'
        )


def _picture(img_shape: Any) -> tuple[int, int] | None:
    """The (height, width) of an image, if it is known; (1, 1) is one, for joints in units of it."""
    if img_shape is not None and not is_picture(img_shape):
        raise UserError(f'img_shape: expected the height and width of the image, found {shown(img_shape)}')
    return None if img_shape is None else tuple(img_shape)


def _check_joints(keypoint: np.ndarray, given: Skeleton, wanted: Skeleton) -> None:
    joints = keypoint.shape[2]
    if joints == given.num_joints:
        return
    fitting = [
        repr(name)
        for name, skeleton in SKELETONS.items()
        if skeleton.num_joints == joints
        and skeleton.flat <= wanted.flat
        # Those that have a source for each joint.
        and not conversion(skeleton, wanted)[1]
    ]
    advice = f'; with layout={" or ".join(fitting)} it can be converted' if fitting else ''
    raise UserError(f'keypoint: {joints} joints, the layout {given.name!r} has {given.num_joints}{advice}')


def _check_coordinates(found: int, needs_depth: bool) -> None:
    if needs_depth and found != 3:
        raise UserError(
            f'keypoint: {found} coordinates per joint, the model expects x, y, z; joints in an image need a '
            'model that was trained on such joints'
        )
    if found not in (2, 3):
        raise UserError(f'keypoint: {found} coordinates per joint, expected 2 or 3')


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


def _centered(recording: Recording, img_shape: tuple[int, int]) -> Recording:
    """Poses in pixels as Kinetics-Skeleton has them, for pipelines that do not normalize them.

    ``x / width - 0.5``, ``y / height - 0.5`` and the score as third coordinate; zero if the score is zero or
    the joint is missing.
    """
    height, width = img_shape
    keypoint, score = recording.keypoint, np.asarray(recording.keypoint_score)
    centered = np.concatenate([keypoint / (width, height) - 0.5, score[..., None]], -1)
    present = ((score > 0) & keypoint.any(-1))[..., None]
    return replace(recording, keypoint=centered.astype(np.float32) * present, keypoint_score=None)

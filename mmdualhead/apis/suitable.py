"""Whether a recording can be answered by a model, and what has to be done to it first.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from mmdualhead.apis.readers import Recorded
from mmdualhead.apis.trained import TrainedModel
from mmdualhead.datasets.pipelines import step_name
from mmdualhead.datasets.plausibility import UNIT_SIZES, find_axes
from mmdualhead.skeletons import SKELETONS, Skeleton, convert_layout, get_skeleton


def suit(
    recording: Recorded,
    model: TrainedModel,
    layout: Any = None,
    unit: str | None = None,
    img_shape: tuple[int, int] | None = None,
    most_active: bool = False,
) -> Recorded:
    """Check a recording and bring it into the form that a model was trained on.

    Args:
        recording: as it was read.
        model: which is to answer.
        layout: the layout of the recording, where the recording does not say it; the model's by default.
        unit: of the coordinates, where nobody says it: ``'m'``, ``'cm'`` or ``'mm'``. ``'m'`` takes them as
            they are, None also checks that they could be meters.
        img_shape: (height, width) of the picture that joints are measured in, where nobody says it.
        most_active: leave it to the pipeline to keep the most active of too many persons.

    Returns:
        The recording, in the layout of the model.

    Raises:
        ValueError: it can't be answered; names the field, and the person and the joint where there is one.
    """
    if unit is not None and unit not in UNIT_SIZES:
        raise ValueError(f'unit: {unit!r} is none of {", ".join(UNIT_SIZES)}')
    wanted, steps = model.skeleton, {step_name(step) for step in model.steps}
    is_plain = recording.layout is None and not recording.annotated
    if img_shape is None or not is_plain:
        img_shape = recording.img_shape
    asked = get_skeleton(layout or wanted)  # also where the recording knows better: a wrong name is a slip
    given = get_skeleton(recording.layout or asked)
    keypoint, score = recording.keypoint, recording.keypoint_score
    # A test takes the half precision of an annotation file as it is.
    kept = (np.float32, np.float64, *([np.float16] if recording.annotated else []))
    keypoint = _as_float(keypoint, kept)
    if recording.regroup and prod(keypoint.shape[2:]) in (2 * given.num_joints, 3 * given.num_joints):
        keypoint = keypoint.reshape(*keypoint.shape[:2], given.num_joints, -1)
    if not all(keypoint.shape[:2]):
        missing = 'no frames' if not keypoint.shape[1] else 'nobody'
        raise ValueError(f'keypoint: {missing}, shape {keypoint.shape}')
    # Joints in pixels with their confidences, as pose estimators give them.
    if img_shape is not None and not recording.annotated and wanted.flat and keypoint.shape[3] == 3:
        keypoint, score = keypoint[..., :2], keypoint[..., 2]

    _check_axes(keypoint, given, needs_depth=bool(steps & {'NormalizeSkeleton3D', 'PreNormalize3D'}))
    _check_finite(keypoint, given, 'keypoint')
    if score is not None:
        score = _checked_score(_as_float(np.asarray(score), kept), keypoint, given)
    if (given.joints, given.bones) != (wanted.joints, wanted.bones):
        keypoint = convert_layout(keypoint, given, wanted)
        score = None if score is None else convert_layout(score[..., None], given, wanted)[..., 0]
    _check_persons(keypoint, None if most_active or recording.annotated else model.num_person)

    notes = recording.notes
    if is_plain and keypoint.shape[3] == 3:
        keypoint = _in_meters(keypoint, wanted, unit)
        if unit is None and not wanted.flat and find_axes(keypoint, wanted) is None:
            notes += ('unit: taken for meters unchecked, no frame has both hip and head',)
    if 'PreNormalize2D' in steps:
        # MMAction2's step would take pictures of 1920 x 1080 pixels for granted.
        if img_shape is None and not recording.annotated:
            raise ValueError('img_shape: the model takes pixels; say the height and width of the picture')
    elif not (img_shape is None or score is None or recording.annotated):
        keypoint, score = _centered_picture(keypoint, score, img_shape), None
    return replace(recording, keypoint=keypoint, keypoint_score=score, img_shape=img_shape, notes=notes)


def _as_float(numbers: np.ndarray, kept: tuple[type, ...]) -> np.ndarray:
    return numbers if numbers.dtype in kept else numbers.astype(np.float32)


def _check_axes(keypoint: np.ndarray, given: Skeleton, needs_depth: bool) -> None:
    joints, channels = keypoint.shape[2:]
    if joints != given.num_joints:
        fitting = [repr(name) for name, skeleton in SKELETONS.items() if skeleton.num_joints == joints]
        advice = f'; with layout={" or ".join(fitting)} it is converted' if fitting else ''
        raise ValueError(
            f'keypoint: {joints} joints, the layout {given.name!r} has {given.num_joints}{advice}'
        )
    if needs_depth and channels != 3:
        raise ValueError(f'keypoint: {channels} coordinates a joint, the model takes x, y, z')
    if channels not in (2, 3):
        raise ValueError(f'keypoint: {channels} coordinates a joint, expected 2 or 3')


def _check_finite(keypoint: np.ndarray, skeleton: Skeleton, field: str) -> None:
    finite = np.isfinite(keypoint)
    if finite.all():
        return
    person, frame, joint, channel = map(int, np.argwhere(~finite)[0])
    raise ValueError(
        f'{field}: person {person}, frame {frame}, joint {joint} ({skeleton.joints[joint]}): '
        f'{keypoint[person, frame, joint, channel]}; {int((~finite).sum())} numbers are not finite. '
        'A joint that is missing is zero in all coordinates'
    )


def _checked_score(score: np.ndarray, keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    if score.shape != (expected := keypoint.shape[:3]):
        raise ValueError(f'keypoint_score: shape {score.shape}, expected the {expected} of keypoint')
    _check_finite(score[..., None], skeleton, 'keypoint_score')
    return score


def _check_persons(keypoint: np.ndarray, most: int | None) -> None:
    persons = np.flatnonzero(keypoint.any((1, 2, 3)))
    if not len(persons):
        raise ValueError(f'keypoint: nobody, all coordinates of {keypoint.shape[1]} frames are zero')
    if most is not None and len(persons) > most:
        raise ValueError(
            f'keypoint: {len(persons)} persons ({", ".join(map(str, persons))}), the model takes {most}; '
            'leave some out, or say most_active=True'
        )


def _in_meters(keypoint: np.ndarray, skeleton: Skeleton, unit: str | None) -> np.ndarray:
    if unit is not None:
        return keypoint / UNIT_SIZES[unit]
    axes = find_axes(keypoint, skeleton)
    if axes is not None and axes.unit != 'm':
        looks = f'as if in {axes.unit}' if axes.unit else 'as in no usual unit'
        raise ValueError(
            f'keypoint: person {axes.person} measures {axes.trunk:.3g} from hip to head, {looks}; say '
            f"unit='cm' or 'mm', or 'm' to take the numbers as they are"
        )
    return keypoint


def _centered_picture(keypoint: np.ndarray, score: np.ndarray, img_shape: tuple[int, int]) -> np.ndarray:
    """Poses in pixels as Kinetics-Skeleton has them, for pipelines that don't do so themselves.

    ``x / width - 0.5``, ``y / height - 0.5`` and the score as third coordinate; zero where the score is, or
    the joint is missing.
    """
    height, width = img_shape
    centered = np.concatenate([keypoint / (width, height) - 0.5, score[..., None]], -1)
    return centered.astype(np.float32) * ((score > 0) & keypoint.any(-1))[..., None]

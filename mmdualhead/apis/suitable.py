"""Whether a recording can be answered by a model, and what has to be done to it first.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mmdualhead.apis.recordings import Recorded
from mmdualhead.apis.trained import TrainedModel
from mmdualhead.datasets.converters.plausibility import find_axes
from mmdualhead.datasets.pipelines import step_name
from mmdualhead.skeletons import SKELETONS, Skeleton, convert_layout, get_skeleton

UNITS = {'m': 1.0, 'cm': 0.01, 'mm': 0.001}
"""In meters."""


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
    ownerless = recording.layout is None and not recording.annotated
    recording = replace(recording, keypoint=_as_float(recording.keypoint))
    if ownerless and img_shape is not None:
        recording = replace(recording, img_shape=img_shape)
    if not all(recording.keypoint.shape[:2]):
        missing = 'no frames' if not recording.keypoint.shape[1] else 'nobody'
        raise ValueError(f'keypoint: {missing}, shape {recording.keypoint.shape}')
    recording = _with_score(recording, model.skeleton)
    recording = _in_layout(recording, recording.layout or layout, model.skeleton)
    keypoint = recording.keypoint
    steps = {step_name(step) for step in model.steps}
    channels = keypoint.shape[3]
    if channels != 3 and steps & {'NormalizeSkeleton3D', 'PreNormalize3D'}:
        raise ValueError(f'keypoint: {channels} coordinates a joint, the model takes x, y, z')
    if channels not in (2, 3):
        raise ValueError(f'keypoint: {channels} coordinates a joint, expected 2 or 3')
    _check_finite(keypoint, model.skeleton, 'keypoint')
    if recording.keypoint_score is not None:
        score = _as_float(np.asarray(recording.keypoint_score))
        if score.shape != keypoint.shape[:3]:
            raise ValueError(
                f'keypoint_score: shape {score.shape}, expected the {keypoint.shape[:3]} of keypoint'
            )
        _check_finite(score[..., None], model.skeleton, 'keypoint_score')
        recording = replace(recording, keypoint_score=score)
    if not keypoint.any():
        raise ValueError(f'keypoint: nobody, all coordinates of {keypoint.shape[1]} frames are zero')
    _check_persons(recording, model, most_active)
    if unit is not None and unit not in UNITS:
        raise ValueError(f'unit: {unit!r} is none of {", ".join(UNITS)}')
    # MMAction2's step would take pictures of 1920 x 1080 pixels for granted.
    if 'PreNormalize2D' in steps and recording.img_shape is None and not recording.annotated:
        raise ValueError('img_shape: the model takes pixels; say the height and width of the picture')
    if ownerless and channels == 3:
        recording = _in_meters(recording, model.skeleton, unit)
    return recording if 'PreNormalize2D' in steps else _centered_picture(recording)


def _as_float(numbers: np.ndarray) -> np.ndarray:
    return numbers if numbers.dtype in (np.float32, np.float64) else numbers.astype(np.float32)


def _with_score(recording: Recorded, skeleton: Skeleton) -> Recorded:
    """Joints in pixels and their confidences apart, as pose estimators give them."""
    joints = recording.keypoint
    if recording.img_shape is None or recording.annotated or not skeleton.flat or joints.shape[3] != 3:
        return recording
    return replace(recording, keypoint=joints[..., :2], keypoint_score=joints[..., 2])


def _in_layout(recording: Recorded, layout: Any, wanted: Skeleton) -> Recorded:
    given = wanted if layout is None else get_skeleton(layout)
    joints = recording.keypoint.shape[2]
    if joints != given.num_joints:
        fitting = [repr(name) for name, skeleton in SKELETONS.items() if skeleton.num_joints == joints]
        advice = f'; with layout={" or ".join(fitting)} it is converted' if fitting else ''
        raise ValueError(
            f'keypoint: {joints} joints, the layout {given.name!r} has {given.num_joints}{advice}'
        )
    if (given.joints, given.bones) == (wanted.joints, wanted.bones):
        return recording
    keypoint = convert_layout(recording.keypoint, given, wanted)
    score = recording.keypoint_score
    if score is not None:
        score = convert_layout(np.asarray(score)[..., None], given, wanted)[..., 0]
    return replace(recording, keypoint=keypoint, keypoint_score=score)


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


def _check_persons(recording: Recorded, model: TrainedModel, most_active: bool) -> None:
    there = np.flatnonzero(recording.keypoint.any((1, 2, 3)))
    if model.num_person is None or len(there) <= model.num_person or most_active or recording.annotated:
        return
    raise ValueError(
        f'keypoint: {len(there)} persons ({", ".join(map(str, there))}), the model takes {model.num_person}; '
        'leave some out, or say most_active=True'
    )


def _in_meters(recording: Recorded, skeleton: Skeleton, unit: str | None) -> Recorded:
    if unit is not None:
        return replace(recording, keypoint=recording.keypoint * UNITS[unit])
    axes = find_axes(recording.keypoint, skeleton)
    if axes is not None and axes.unit != 'm':
        looks = f'as if in {axes.unit}' if axes.unit else 'as in no usual unit'
        raise ValueError(
            f'keypoint: person {axes.person} measures {axes.trunk:.3g} from hip to head, {looks}; say '
            f"unit='cm' or 'mm', or 'm' to take the numbers as they are"
        )
    return recording


def _centered_picture(recording: Recorded) -> Recorded:
    """Poses in pixels as Kinetics-Skeleton has them, for pipelines that don't do so themselves.

    ``x / width - 0.5``, ``y / height - 0.5`` and the score as third coordinate; zero where the score is.
    """
    if recording.img_shape is None or recording.keypoint_score is None or recording.annotated:
        return recording
    height, width = recording.img_shape
    score = recording.keypoint_score[..., None]
    keypoint = np.concatenate([recording.keypoint / (width, height) - 0.5, score], -1).astype(np.float32)
    return replace(recording, keypoint=keypoint * (score > 0), keypoint_score=None)

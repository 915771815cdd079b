"""Normalization of 2-D skeletons by the body: neither the size of the image nor the place in it enters.

Pictures have x to the right and y down, before and after. M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error
from mmdualhead.errors import UserError
from mmdualhead.network_input import Share
from mmdualhead.skeletons import BODY, Skeleton, convert_layout, get_skeleton

SCORED = 3
"""The values per joint, if it has a confidence."""

MIN_SCORE = 0.1
"""Joints of a lower confidence are missing."""


def midpoints(keypoint: np.ndarray, skeleton: Skeleton, place: str) -> np.ndarray:
    """Points midway between left and right joints, NaN where one of them is.

    Args:
        keypoint: (..., V, C), missing joints as NaN.
        skeleton: the layout.
        place: ``'hip'`` or ``'shoulder'``.

    Returns:
        (..., C).
    """
    sides = [skeleton.joints.index(f'{side} {place}') for side in ('left', 'right')]
    return keypoint[..., sides, :].mean(-2)


def trunk_lengths(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The distance between the centers of hips and shoulders in every frame, NaN where unknown.

    Args:
        keypoint: (..., V, C), missing joints as NaN.
        skeleton: the layout.

    Returns:
        (...).
    """
    return np.linalg.norm(
        midpoints(keypoint, skeleton, 'shoulder') - midpoints(keypoint, skeleton, 'hip'), axis=-1
    )


def sure_joints(
    keypoint: np.ndarray, score: np.ndarray | None = None, min_score: float = MIN_SCORE
) -> np.ndarray:
    """The joints of an image without confidences; those of a low one are missing (zero).

    Args:
        keypoint: (M, T, V, 2), or 3 with the confidence.
        score: (M, T, V) the confidences, if they are separate.
        min_score: the lowest confidence of a joint that is not missing.

    Returns:
        (M, T, V, 2).

    Raises:
        UserError: all joints of all persons have low confidences.
    """
    if keypoint.shape[-1] == SCORED:
        keypoint, score = keypoint[..., :2], keypoint[..., 2]
    if score is None:
        return keypoint
    sure = np.where((score >= min_score)[..., None], keypoint, 0)
    if keypoint.any() and not sure.any():
        raise UserError(f'keypoint_score: no person, all joints have confidences below {min_score}')
    return sure


def normalize_by_body(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """``x' = (x - c) / l`` for each person: c is the center of the hips, l the length of the trunk.

    Both are medians over the frames that show hips, or hips and shoulders: noise or a bow changes neither,
    and the way that a person walks remains. If no frame shows all of these, each joint's median is used.

    Args:
        keypoint: (M, T, V, C), missing joints as zero or NaN; left unchanged.
        skeleton: a layout with hips and shoulders.

    Returns:
        (M, T, V, C) float32, missing joints as zero.

    Raises:
        UserError: no frame shows a hip, or a shoulder, of a person, or they coincide.
    """
    x = keypoint.astype(np.float64)
    x[~(np.isfinite(x).all(-1) & x.any(-1))] = np.nan
    for number in np.flatnonzero(np.isfinite(x).any((1, 2, 3))):
        center, length = _center_and_length(x[number], skeleton)
        if not length > 0:
            is_point = length == 0
            fault = (
                'hips and shoulders coincide'
                if is_point
                else 'no frame shows the hips, or none the shoulders'
            )
            raise UserError(f'keypoint: person {number}: {fault}')
        x[number] = (x[number] - center) / length
    return np.nan_to_num(x, nan=0.0).astype(np.float32)


def body_fault(clip: Mapping[str, Any], skeleton: Skeleton, min_score: float, in_space: bool) -> str:
    """Why a clip cannot be normalized by the body; empty if it can.

    Args:
        clip: the annotation, of which no joint is infinite.
        skeleton: its layout.
        min_score: joints of a lower confidence are missing.
        in_space: the clip is a 3-D recording, whose images will be normalized.
    """
    try:
        if in_space:
            keypoint = convert_layout(clip['keypoint'], skeleton, BODY)
        else:
            keypoint = sure_joints(clip['keypoint'], clip.get('keypoint_score'), min_score)
        normalize_by_body(keypoint, BODY if in_space else skeleton)
    except UserError as error:
        return str(error).removeprefix('keypoint: ')
    return ''


def _center_and_length(person: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, float]:
    """c and l of a person (T, V, 2) with missing joints as NaN; NaN where unknown."""
    lengths = trunk_lengths(person, skeleton)
    if (lengths > 0).any():
        hips = midpoints(person, skeleton, 'hip')
        return np.nanmedian(hips, axis=0), float(np.median(lengths[lengths > 0]))
    hip, shoulder = (_usual_place(person, skeleton, place) for place in ('hip', 'shoulder'))
    return hip, float(np.linalg.norm(shoulder - hip))


def _usual_place(person: np.ndarray, skeleton: Skeleton, place: str) -> np.ndarray:
    """The middle of the medians of left and right joints, or the one of the side that is seen."""
    sides = [person[:, skeleton.joints.index(f'{side} {place}')] for side in ('left', 'right')]
    seen = [np.nanmedian(side, axis=0) for side in sides if np.isfinite(side).any()]
    return np.mean(seen, axis=0) if seen else np.full(person.shape[-1], np.nan)


@TRANSFORMS.register_module()
class NormalizeByBody(Step):
    """:func:`normalize_by_body` as a step of a pipeline. Confidences only tell which joints are missing.

    Required keys: keypoint (M, T, V, 2), or 3 with a confidence, (keypoint_score), (frame_dir). Modified:
    keypoint. Removed: keypoint_score.

    Args:
        layout: name or definition of the skeleton.
        min_score: joints of a lower confidence are missing.
    """

    @staticmethod
    def network_input(layout: Any = 'body_13', min_score: float = MIN_SCORE) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(skeleton=get_skeleton(layout), normalization='body', min_score=min_score)

    def __init__(self, layout: str | Mapping[str, Any] = 'body_13', min_score: float = MIN_SCORE) -> None:
        self.skeleton = get_skeleton(layout)
        self.min_score = min_score

    def transform(self, results: dict) -> dict:
        score = results.pop('keypoint_score', None)
        try:
            keypoint = sure_joints(results['keypoint'], score, self.min_score)
            results['keypoint'] = normalize_by_body(keypoint, self.skeleton)
        except ValueError as error:
            raise clip_error(results, str(error)) from None
        return results


@TRANSFORMS.register_module()
class FillGaps(Step):
    """Fill the frames in which a joint is missing (zero): interpolated, at the ends as in the nearest frame.

    A joint that is missing throughout stays missing. Estimators lose joints for moments; a joint that jumps
    to the origin and back would be the largest movement of the clip.

    Required keys: keypoint. Modified: keypoint.
    """

    network_input: ClassVar[Share] = {}

    def transform(self, results: dict) -> dict:
        results['keypoint'] = fill_gaps(results['keypoint'])
        return results


def fill_gaps(keypoint: np.ndarray) -> np.ndarray:
    """See :class:`FillGaps`.

    Args:
        keypoint: (M, T, V, C); left unchanged.
    """
    present = np.asarray(keypoint.any(-1))
    gaps = present.any(1) & ~present.all(1)
    if not gaps.any():
        return keypoint
    filled, times = keypoint.copy(), np.arange(keypoint.shape[1])
    for person, joint in np.argwhere(gaps):
        known = present[person, :, joint]
        for channel in range(keypoint.shape[-1]):
            values = keypoint[person, known, joint, channel]
            filled[person, ~known, joint, channel] = np.interp(times[~known], times[known], values)
    return filled

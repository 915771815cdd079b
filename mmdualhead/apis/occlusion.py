"""What a prediction depends on, by occluding parts of a recording.

Unlike attention, this measures the drop in score: it is faithful by construction, and costs one prediction
for each joint and each segment of frames. M persons, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmdualhead.apis.forward import run_pipeline
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.skeletons import Skeleton

SPAN = 6
"""Frames that are occluded together."""


@dataclass(frozen=True)
class Occlusion:
    """The drop in the score of the predicted class.

    Args:
        answer: for the complete recording.
        joints: (V,) the drop if the motion of a joint relative to its parent is removed.
        frames: (T,) the drop if the segment around a frame is removed, that is, replaced by linear motion
            from its beginning to its end.
    """

    answer: Answer
    joints: np.ndarray
    frames: np.ndarray


def occlude(
    inferencer: SkeletonInferencer, recording: Any, span: int = SPAN, batch_size: int = 16, **options: Any
) -> Occlusion:
    """Explain the prediction for one recording.

    Args:
        inferencer: makes the predictions.
        recording: anything that :func:`~mmdualhead.apis.recordings.find_recordings` accepts.
        span: frames that are occluded together.
        batch_size: predictions per batch.
        **options: those of :func:`~mmdualhead.apis.fit.fit`.

    Raises:
        RecordingError: the recording cannot be predicted.
        ValueError: it is not exactly one, or ``span`` is not positive.
    """
    if span < 1:
        raise ValueError(f'span is {span}, expected 1 or more')
    recordings = find_recordings(recording, options.get('img_shape'))
    if len(recordings) != 1:
        raise ValueError(f'{len(recordings)} recordings, expected one')
    prepared = inferencer.prepare(recordings[0], **options)
    fitted, models = prepared[0].recording, [one.model for one in prepared]
    keypoint, skeleton = fitted.keypoint, models[0].skeleton
    changed = [keypoint, *without_joints(keypoint, skeleton)]
    changed += [without_frames(keypoint, at, at + span) for at in range(0, keypoint.shape[1], span)]
    answers: list[Answer] = []
    for at in range(0, len(changed), batch_size):
        recordings = [replace(fitted, keypoint=one) for one in changed[at : at + batch_size]]
        answers += inferencer.forward([[run_pipeline(model, one) for model in models] for one in recordings])
    whole, *answers = answers
    drops = np.array([whole.confidence - answer.scores[FUSED][whole.label] for answer in answers])
    joints, frames = np.split(drops, [skeleton.num_joints])
    return Occlusion(whole, joints, np.repeat(frames, span)[: keypoint.shape[1]])


def without_joints(keypoint: np.ndarray, skeleton: Skeleton) -> Iterator[np.ndarray]:
    """For each joint (M, T, V, C) with its mean position relative to its parent in all frames.

    The root keeps its mean position. Missing joints stay missing, and confidences (C = 3 in an image) as they
    are.
    """
    axes = slice(2 if skeleton.flat else 3)
    there = np.asarray(keypoint.any(-1))
    for joint, parent in enumerate(skeleton.parents):
        both = (there[:, :, joint] & there[:, :, parent])[..., None]
        base = keypoint[:, :, parent] * (joint != parent)
        offset = (keypoint[:, :, joint] - base) * both
        mean = offset.sum(1, keepdims=True) / np.maximum(both.sum(1, keepdims=True), 1)
        changed = keypoint.copy()
        changed[:, :, joint, axes] = np.where(both, base + mean, keypoint[:, :, joint])[..., axes]
        yield changed


def without_frames(keypoint: np.ndarray, start: int, end: int) -> np.ndarray:
    """(M, T, V, C) with the straight line from the frame before ``start`` to frame ``end`` in between.

    At the edges of a clip, the nearest frame outside stays. Joints that are missing at either end are
    unchanged.
    """
    frames = keypoint.shape[1]
    before, after = start - 1, min(end, frames)
    if before < 0 and after >= frames:
        return keypoint.copy()
    first = keypoint[:, before if before >= 0 else after]
    last = keypoint[:, after if after < frames else before]
    share = (np.arange(start, after) - before) / (after - before)
    line = first[:, None] + share[:, None, None] * (last - first)[:, None]
    both = np.asarray(first.any(-1) & last.any(-1))[:, None, :, None]
    changed = keypoint.copy()
    changed[:, start:after] = np.where(both, line, keypoint[:, start:after])
    return changed

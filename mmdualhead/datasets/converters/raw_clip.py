"""Read and check one raw file, in any process. M persons, T frames, V joints, C channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.clips import LABELS
from mmdualhead.datasets.plausibility import judge_posture, picture_fault
from mmdualhead.datasets.recording import EmptyRecording, Recording
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.reading import open_regular

Normalize = Callable[[np.ndarray], np.ndarray]


class Outcome(NamedTuple):
    """The result of reading a raw file: a clip, or its fault.

    Args:
        finding: why there is no clip: an error in a malformed file, a note on one without any person.
        label: class index of the clip.
        shape: (M, T, V, C) of its keypoints.
        counts: what its reader did, and how often.
        posture: the result of :func:`~mmdualhead.datasets.plausibility.judge_posture`.
        picture: why the joints cannot be in pixels of their image, empty if they can; None with depth.
    """

    finding: Finding | None = None
    label: int | None = None
    shape: Sequence[int] = ()
    counts: Mapping[str, int] = {}
    posture: Mapping[str, bool] | None = None
    picture: str | None = None

    def to_json(self) -> list[Any]:
        """Plain values for JSON."""
        finding = self.finding and [self.finding.level.value, self.finding.where, self.finding.text]
        return [finding, *self[1:]]

    @classmethod
    def of_json(cls, values: Sequence[Any]) -> Outcome:
        """The inverse of :meth:`to_json`."""
        finding, *others = values
        return cls(finding and Finding(Level(finding[0]), *finding[1:]), *others)


def read_clip(
    recording: Recording,
    read: Callable[[Recording], Recording],
    normalize: Normalize | None,
    skeleton: Skeleton,
) -> tuple[Outcome, dict[str, Any] | None]:
    """Read one raw file.

    Args:
        recording: the raw file.
        read: the function that reads it.
        normalize: maps the keypoints to those to store; None stores them unchanged.
        skeleton: the layout.

    Returns:
        The outcome, and the annotation if there is a clip.
    """
    try:
        clip = _read_regular(recording, read)
        _check(clip, skeleton)
        keypoint = clip.keypoint if normalize is None else normalize(clip.keypoint)
    except ValueError as error:
        level = Level.NOTE if isinstance(error, EmptyRecording) else Level.ERROR
        return Outcome(Finding(level, str(recording.path), str(error))), None
    posture, picture = judge_posture(clip.keypoint, skeleton), _judge_picture(clip, skeleton)
    stored = replace(clip, name=recording.name, subject=recording.subject, keypoint=keypoint).annotation()
    for name in {'keypoint', 'keypoint_score'} & stored.keys():
        stored[name] = np.asarray(stored[name], np.float32)
    if clip.img_shape is not None:
        stored['img_shape'] = list(clip.img_shape)
    return Outcome(None, clip.label, keypoint.shape, clip.counts, posture, picture), stored


def _judge_picture(clip: Recording, skeleton: Skeleton) -> str | None:
    """See :class:`Outcome`."""
    if clip.keypoint.shape[-1] != 2:
        return None
    if clip.img_shape is None:
        return 'the image size is not given, which joints in pixels need (--img-shape HEIGHT WIDTH)'
    return picture_fault(clip.keypoint, skeleton, clip.img_shape)


def _read_regular(recording: Recording, read: Callable[[Recording], Recording]) -> Recording:
    """Read a clip; reading a pipe in place of a file would block forever."""
    try:
        if not recording.path.is_dir():
            open_regular(recording.path).close()
    except OSError as error:
        raise UserError(str(error.strerror)) from error
    return read(recording)


def _check(clip: Recording, skeleton: Skeleton) -> None:
    """Reject clips that are invalid in any data set."""
    keypoint, joints = clip.keypoint, skeleton.num_joints
    if keypoint.ndim != 4 or keypoint.shape[2] != joints:
        raise UserError(f'keypoint: expected (M, T, {joints}, C), found {keypoint.shape}')
    if keypoint.size:  # an empty one shows no person, which is the next check
        clip.shaped(skeleton)
    clip.check_numbers(skeleton)
    if clip.label is None:
        raise UserError('no class label')
    if not 0 <= clip.label < LABELS:
        raise UserError(f'class label {clip.label} is not an index from 0')

"""Read and check one raw file, in any process. M persons, T frames, V joints, C channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.clips import is_integer
from mmdualhead.datasets.plausibility import judge_posture, picture_fault
from mmdualhead.datasets.recording import EmptyRecording, Recording
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.reading import open_regular, shown

Normalize = Callable[[Recording], Recording]


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
        normalize: maps a clip to the one to store; None stores it unchanged.
        skeleton: the layout.

    Returns:
        The outcome, and the annotation if there is a clip.
    """
    try:
        clip = _checked(_read_regular(recording, read), skeleton)
        stored = clip if normalize is None else normalize(clip)
    except ValueError as error:
        level = Level.NOTE if isinstance(error, EmptyRecording) else Level.ERROR
        return Outcome(Finding(level, str(recording.path), str(error))), None
    posture, picture = judge_posture(clip.keypoint, skeleton), _judge_picture(clip, skeleton)
    annotation = replace(stored, name=recording.name, subject=recording.subject).annotation()
    for name in {'keypoint', 'keypoint_score'} & annotation.keys():
        annotation[name] = np.asarray(annotation[name], np.float32)
    if clip.img_shape is not None:
        annotation['img_shape'] = list(clip.img_shape)
    return Outcome(None, clip.label, stored.keypoint.shape, clip.counts, posture, picture), annotation


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


def _checked(clip: Recording, skeleton: Skeleton) -> Recording:
    """The clip with its numbers as arrays, unless it is invalid in any data set."""
    shape, joints = np.shape(clip.keypoint), skeleton.num_joints
    if len(shape) != 4 or shape[2] != joints:
        raise UserError(f'keypoint: expected (M, T, {joints}, C), found {shape}')
    clip = clip.shaped(skeleton)
    clip.check_numbers(skeleton)
    if clip.label is None:
        raise UserError('no class label')
    if not is_integer(clip.label) or clip.label < 0:
        raise UserError(f'class label {shown(clip.label)} is not an index from 0')
    return replace(clip, label=int(clip.label))

"""A recording, from finding it to its annotation or its prediction.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.checks import FEW_FRAMES, MANY_PERSONS
from mmdualhead.datasets.plausibility import number_fault
from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton, convert_layout
from mmdualhead.utils.text import name_of, with_name

LARGEST = 1e6
"""The largest accepted coordinate: a kilometer in millimeters."""


class EmptyRecording(UserError):  # noqa: N818 (it names the state of the recording)
    """A raw file is well-formed but contains no person. The message lacks the file's name."""


@dataclass(frozen=True)
class Recording:
    """One recording, to be read or read.

    Args:
        name: its name in annotation files (``frame_dir``) and predictions.
        path: the file or folder that it is in, as a ``Path``; None for none.
        label: the true class, as a 0-based index or, of a known data set, as a name; None if it is unknown or
            only the file contains it.
        subject: the performer, if known; for the summary of a conversion.
        splits: the splits that it belongs to.
        img_shape: (height, width) of the image in whose pixels the joints are.
        keypoint: (M, T, V, C), or (T, V, C); None until it is read.
        keypoint_score: (M, T, V) confidences, if there are any in addition to the coordinates.
        layout: name or definition of its layout; None if unknown.
        joints: the names of the V joints in its file, of those that have one.
        ids: of the M persons, in the estimator's or a tracker's numbers; None if it does not tell them.
        frame_rate: frames per second, if it is known.
        classes: the names of the classes in the annotation file, if it has them.
        annotated: it comes from an annotation file, which defines the network's input.
        normalized: it is already normalized.
        regroup: it comes from a table that does not tell whether a joint has 2 or 3 columns: ``keypoint`` may
            have another V and C of the same product.
        numbers: of its frames in the video that they are from, if they are known.
        counts: what its reader did, and how often, for the summary, such as ``{LOST_FRAMES: 3}``.
        notes: caveats about its prediction.
        persons: the ids of the one or two persons that it was reduced to; None if it has all.
        first_frame: the frame at which these begin, in the complete recording.
        load: reads it; raises a ValueError or an OSError whose message does not name the file.
    """

    name: str = ''
    path: Any = None
    label: Any = None
    subject: str | None = None
    splits: tuple[str, ...] = ()
    img_shape: tuple[int, int] | None = None
    _: KW_ONLY
    keypoint: Any = None
    keypoint_score: np.ndarray | None = None
    layout: Any = None
    joints: tuple[str, ...] = ()
    ids: tuple[Hashable, ...] | None = None
    frame_rate: float | None = None
    classes: tuple[str, ...] = ()
    annotated: bool = False
    normalized: bool = False
    regroup: bool = False
    numbers: range | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    persons: tuple[Hashable, ...] | None = None
    first_frame: int = 0
    load: Callable[[], Recording] | None = None

    @property
    def where(self) -> str:
        """Its name in messages."""
        person = f', person {name_of(self.persons)}' if self.persons else ''
        if self.path is None:
            return self.name + person
        is_one_of_many = self.name not in (self.path.stem, self.path.name)
        clip = f', clip {self.name}' if self.annotated or is_one_of_many else ''
        return f'{self.path}{clip}{person}'

    def read(self) -> Recording:
        """The recording with its joints.

        Raises:
            OSError: it cannot be read.
            ValueError: it is missing or malformed; names it.
        """
        if self.load is None:
            return self
        try:
            return replace(self.load(), name=self.name, path=self.path)
        except ValueError as error:
            raise UserError(with_name(self.where, str(error))) from error

    def failing(self, error: Exception) -> Recording:
        """The recording, whose reading raises an error, so that the others are read."""

        def load() -> Recording:
            raise error

        return replace(self, load=load)

    def check_axes(self) -> None:
        """Refuse frames before persons, and scores of another shape than that of the joints (M, T, V).

        Raises:
            UserError: names the field.
        """
        keypoint, score = self.keypoint, self.keypoint_score
        persons, frames = keypoint.shape[:2]
        if persons > MANY_PERSONS and frames <= FEW_FRAMES:
            raise UserError(
                f'keypoint: shape {keypoint.shape} reads as (T, M, V, C), expected (M, T, V, C); exchange '
                'the first two axes: keypoint.swapaxes(0, 1)'
            )
        if score is not None and score.shape != keypoint.shape[:3]:
            raise UserError(
                f'keypoint_score: shape {score.shape}, expected the {keypoint.shape[:3]} of keypoint'
            )

    def check_numbers(self, skeleton: Skeleton) -> None:
        """Refuse a recording without any person, and numbers that are not joints or confidences.

        Raises:
            EmptyRecording: it shows no person.
            UserError: names the field, the person and the joint.
        """
        for joint, (found, expected) in enumerate(zip(self.joints, skeleton.joints, strict=False)):
            if found != expected and found in skeleton.joints:
                raise UserError(
                    f'joint {joint} is {found!r} in the file, but {expected!r} in layout {skeleton.name!r}; '
                    'bring its columns into the order of the layout'
                )
        if not self.keypoint.any():
            raise EmptyRecording('keypoint: no person, all coordinates are zero')
        if fault := number_fault(self.keypoint, self.keypoint_score, skeleton):
            raise UserError(fault)

    def scores_apart(self) -> Recording:
        """A recording of x, y and score with the scores in their own field."""
        return replace(self, keypoint=self.keypoint[..., :2], keypoint_score=self.keypoint[..., 2])

    def converted(self, source: Skeleton, target: Skeleton) -> Recording:
        """The recording in another layout, whose ``layout`` is to be set."""
        score = self.keypoint_score
        if score is not None:
            score = convert_layout(score[..., None], source, target)[..., 0]
        keypoint = convert_layout(self.keypoint, source, target)
        return replace(self, keypoint=keypoint, keypoint_score=score)

    def annotation(self) -> dict[str, Any]:
        """What is known of it, as an annotation file has it."""
        names = ('label', 'subject', 'keypoint', 'keypoint_score', 'img_shape')
        known = {name: getattr(self, name) for name in names}
        return {'frame_dir': self.name, **{name: value for name, value in known.items() if value is not None}}

    def frames(self, frame_rate: float | None = None) -> Iterator[tuple[float, dict[Hashable, np.ndarray]]]:
        """The time of each frame and the joints of the persons in sight by id, as a stream takes them.

        Args:
            frame_rate: frames per second, if the recording does not have it.

        Raises:
            UserError: it is not known.
        """
        rate = self.frame_rate or frame_rate
        if not rate:
            raise UserError(f'{self.where}: frame_rate: it is not in the recording; give it')
        joints = np.asarray(self.keypoint)
        joints = joints[None] if joints.ndim == 3 else joints
        present = np.asarray(joints.any((2, 3)))
        if self.keypoint_score is not None and joints.shape[-1] == 2:
            joints = np.concatenate([joints, self.keypoint_score[..., None]], -1)
        ids = range(len(joints)) if self.ids is None else self.ids
        for t in range(joints.shape[1]):
            yield t / rate, {ids[m]: joints[m, t] for m in np.flatnonzero(present[:, t])}


def Clip(keypoint: np.ndarray, label: int | None = None, **known: Any) -> Recording:  # noqa: N802 (a name of old)
    """What a converter of your own returns: joints (M, T, V, C) and their class; see :class:`Recording`."""
    return Recording(label=label, keypoint=keypoint, **known)

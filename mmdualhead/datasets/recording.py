"""A recording, from finding it to its annotation or its prediction.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.checks import FEW_FRAMES, MANY_PERSONS, is_picture
from mmdualhead.datasets.plausibility import number_fault
from mmdualhead.datasets.transforms.body import SCORED
from mmdualhead.errors import UserError
from mmdualhead.skeletons import (
    SKELETONS,
    Skeleton,
    conversion,
    convert_layout,
    get_skeleton,
    layouts_with,
)
from mmdualhead.utils.reading import shown
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

    Raises:
        UserError: ``img_shape`` is not the size of an image.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, 'img_shape', image_size(self.img_shape))

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
            raise self.fault(str(error)) from error

    def fault(self, reason: str) -> UserError:
        """The error that it cannot be used, with its name."""
        return UserError(with_name(self.where, reason))

    def failing(self, error: Exception) -> Recording:
        """The recording, whose reading raises an error, so that the others are read."""

        def load() -> Recording:
            raise error

        return replace(self, load=load)

    def has_depth(self, skeleton: Skeleton) -> bool:
        """True if its joints, in this layout, are in space: a third coordinate is not a confidence."""
        return not skeleton.flat and self._channels(skeleton) != 2

    def _channels(self, skeleton: Skeleton) -> int:
        """C, which the number of joints tells of a table that does not."""
        shape = np.shape(self.keypoint)[-2:]
        channels, rest = divmod(prod(shape), skeleton.num_joints)
        if self.regroup and not rest and channels in (2, 3):
            return channels
        return shape[-1] if shape else 0

    def converts_to(self, target: Skeleton, layout: Any = None) -> bool:
        """True if it, in ``layout`` if it names none, has depth and all joints of a layout in space."""
        source = get_skeleton(self.layout or layout or target)
        return self.has_depth(source) and not conversion(source, target)[1]

    @property
    def is_in_meters(self) -> bool:
        """True if joints in space are in meters: readers that know the layout of a file convert its unit."""
        return self.layout is not None and not self.annotated

    def shaped(self, skeleton: Skeleton | None = None) -> Recording:
        """The recording as read, with joints (M, T, V, C) and scores (M, T, V) of a floating-point type.

        Args:
            skeleton: the layout, if it is known; it tells V and C of a table that does not.

        Raises:
            EmptyRecording: it has no frames or no person.
            UserError: its numbers are not of these shapes.
        """
        # A test uses the half precision of an annotation file as it is.
        kept = (np.float32, np.float64, *([np.float16] if self.annotated else []))
        keypoint, score = _numbers('keypoint', self.keypoint, 4, kept), self.keypoint_score
        score = None if score is None else _numbers('keypoint_score', score, 3, kept)
        persons, frames = keypoint.shape[:2]
        if not persons or not frames:
            raise EmptyRecording(
                f'keypoint: {"no person" if frames else "no frames"}, shape {keypoint.shape}'
            )
        if self.regroup and skeleton is not None:
            keypoint = keypoint.reshape(*keypoint.shape[:2], -1, self._channels(skeleton))
        if persons > MANY_PERSONS and frames <= FEW_FRAMES:
            raise UserError(
                f'keypoint: shape {keypoint.shape} reads as (T, M, V, C), expected (M, T, V, C); exchange '
                'the first two axes: keypoint.swapaxes(0, 1)'
            )
        if score is not None and score.shape != keypoint.shape[:3]:
            raise UserError(f'keypoint_score has shape {score.shape}, keypoint {keypoint.shape}')
        return replace(self, keypoint=keypoint, keypoint_score=score)

    def check_numbers(self, skeleton: Skeleton) -> None:
        """Refuse a recording without any person, and numbers that are not joints or confidences.

        Raises:
            EmptyRecording: it shows no person.
            UserError: names the field, the person and the joint, as far as the layout has so many.
        """
        known = list(map(_words, skeleton.joints))
        for joint, (found, expected) in enumerate(zip(self.joints, skeleton.joints, strict=False)):
            if _words(found) != known[joint] and _words(found) in known:
                advice = _advice_on_names(self.joints) or 'bring its columns into the order of the layout'
                raise UserError(
                    f'joint {joint} is {found!r} in the file, but {expected!r} in layout {skeleton.name!r}; '
                    f'{advice}'
                )
        if not self.keypoint.any():
            raise EmptyRecording('keypoint: no person, all coordinates are zero')
        if self.keypoint.shape[2] != skeleton.num_joints:
            return
        if fault := number_fault(self.keypoint, self.keypoint_score, skeleton):
            raise UserError(fault)

    def of_persons(self, rows: Iterable[int], frames: slice = slice(None)) -> Recording:
        """The recording of some of its persons, in some of its frames."""
        score, ids = self.keypoint_score, self.ids
        rows = list(rows)
        return replace(
            self,
            keypoint=self.keypoint[rows, frames],
            keypoint_score=None if score is None else score[rows, frames],
            ids=tuple(ids[row] for row in rows) if ids else None,
        )

    def scores_apart(self) -> Recording:
        """A recording of x, y and score with the scores in their own field."""
        return replace(self, keypoint=self.keypoint[..., :2], keypoint_score=self.keypoint[..., 2])

    def in_pixels(self, img_shape: tuple[int, int] | None) -> Recording:
        """Joints in an image as pipelines expect them: with its size, and scores in their own field.

        ``img_shape`` is used if the recording has none. Annotations are used as they are, and so are joints
        that are not in pixels.
        """
        sized = self if self.normalized else replace(self, img_shape=self.img_shape or img_shape)
        if sized.annotated or sized.img_shape is None:
            return sized
        if sized.keypoint.shape[3] == SCORED:
            return sized.scores_apart()
        if sized.keypoint_score is not None:
            return sized
        note = 'keypoint_score: not given, assumed to be 1 for each joint present'
        score = sized.keypoint.any(-1).astype(np.float32)
        return replace(sized, keypoint_score=score, notes=(*sized.notes, note))

    def converted(self, source: Skeleton, target: Skeleton) -> Recording:
        """The recording in another layout, whose ``layout`` is to be set.

        Raises:
            UserError: it has other joints than ``source``, or ``target`` needs others; the message names
                them, or the layouts that it may have.
        """
        joints, score = self.keypoint.shape[2], self.keypoint_score
        if joints != source.num_joints:
            raise UserError(
                f'keypoint: {joints} joints, the layout {source.name!r} has {source.num_joints}'
                f'{_advice(joints, target)}'
            )
        if (source.joints, source.bones) == (target.joints, target.bones):
            return self
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


def _words(joint: str) -> frozenset[str]:
    """Of the name of a joint, in any order: ``hand left`` is ``left_hand``."""
    return frozenset(joint.lower().replace('_', ' ').split())


def _advice_on_names(joints: Sequence[str]) -> str:
    """On the layout whose joints a file names, in their order; empty if there is none."""
    for name, skeleton in SKELETONS.items():
        if [*map(_words, joints)] == [*map(_words, skeleton.joints)]:
            return f'they are the joints of layout {name!r}: give layout={name!r} (--layout {name})'
    return ''


def _advice(joints: int, target: Skeleton) -> str:
    """On the layouts that joints of another number may have."""
    if fitting := layouts_with(joints, target):
        named = ' or '.join(map(repr, fitting))
        return f'; with layout={named} (--layout) it can be converted'
    flat = [name for name, one in SKELETONS.items() if one.flat and one.num_joints == joints]
    if not flat:
        return ''
    named = ' or '.join(map(repr, flat))
    return f'; if they are x, y and confidence in an image, give layout={named} (--layout)'


def image_size(shape: Any) -> tuple[int, int] | None:
    """The (height, width) of an image, or None; (1, 1) is one, for joints in units of it. Refuses others."""
    if shape is not None and not is_picture(shape):
        raise UserError(f'img_shape: expected the height and width of the image, found {shown(shape)}')
    return None if shape is None else tuple(shape)


def _numbers(name: str, value: Any, axes: int, kept: tuple[type, ...]) -> np.ndarray:
    """An array of one of the kept types, or float32, with the axis of persons that it may lack."""
    # NumPy would take what is masked as if it were not.
    is_masked = isinstance(value, np.ma.MaskedArray)
    numbers = value.astype(float).filled(np.nan) if is_masked else np.asarray(value)
    kinds, expected = ('fiu', 'T, V, C') if axes == 4 else ('fiub', 'T, V')
    if numbers.dtype.kind not in kinds or numbers.ndim not in (axes - 1, axes):
        raise UserError(
            f'{name}: expected numbers of shape ({expected}) or (M, {expected}), found '
            f'{numbers.dtype} {numbers.shape}'
        )
    numbers = numbers if numbers.ndim == axes else numbers[None]
    return numbers if numbers.dtype in kept else numbers.astype(np.float32)


def Clip(keypoint: np.ndarray, label: int | None = None, **known: Any) -> Recording:  # noqa: N802 (a name of old)
    """What a converter of your own returns: joints (M, T, V, C) and their class; see :class:`Recording`."""
    return Recording(label=label, keypoint=keypoint, **known)

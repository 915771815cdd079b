"""Check that a clip looks like a person in front of a camera, and like the clips of a network's training.

Malformed files are rejected when they are read. Wrong axes, left and right exchanged, millimeters for meters,
or pixels of another image are valid in format, and would silently spoil a run or a prediction.
M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.missing import marked_joints
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.text import plural

# Meters from hip to head: half a child's to twice a tall adult's.
TRUNK_LENGTHS = (0.2, 1.6)

UNIT_SIZES = {'m': 1, 'cm': 100, 'mm': 1000}

OTHER_UNIT, OTHER_SCALE = 16.0, 3.0
"""Ratios of lengths that are an error or a warning."""

MARGIN, MOST_OUTSIDE = 0.25, 0.2
"""The distance beyond the edges, in image sizes, allowed for joints, and the fraction allowed beyond it."""

SMALLEST = 0.01
"""A person with shorter bones, relative to the image, is not in this image's pixels."""

LONGEST = 3.0
"""Longer bones are not in image sizes, where they are below 1; in pixels they are tens."""

MEASURED = 200
"""The number of clips used to measure the scale of a data set."""

LOWEST, HIGHEST = -1, 10
"""Confidences of heat maps and of coordinate classifiers reach beyond 0 and 1, those in percent further."""

PIXELS = 20.0
"""Joints so far from the origin are neither in meters, nor normalized by the body or the image."""

MOST_UPSIDE_DOWN = 0.75
"""The fraction of the frames of a clip in which shoulders may be below the hips of an image."""

SIDES = ('left hip', 'right hip', 'left shoulder', 'right shoulder')

FACE = ('nose', 'left eye', 'right eye')

FEET = ('left ankle', 'left foot', 'right ankle', 'right foot')

# What a clip should satisfy, and the warning if most do not.
DOUBTS = {
    'y is up': 'y does not point up',
    'left is left': 'left and right look exchanged, or the axes left-handed',
    'lengths are meters': 'lengths do not look like meters',
    'y is down': 'y points up, not down as in an image, or persons are upside down',
    'left eyes are on the right': 'left and right look exchanged, or persons are seen from behind',
}


def check_unit(unit: str | None) -> None:
    """Refuse a unit that is not one of :data:`UNIT_SIZES`."""
    if unit is not None and unit not in UNIT_SIZES:
        raise UserError(f'unit is {unit!r}, expected one of {", ".join(UNIT_SIZES)}')


class Axes(NamedTuple):
    """The orientation and unit of a recording.

    Args:
        person: the person that was measured, the first one present.
        up: the axis from hip to head, ``'+y'`` for the Kinect.
        trunk: the median length from hip to head, in the recording's unit.
        unit: ``'m'``, ``'cm'`` or ``'mm'``, whichever makes it plausible; None if none does.
    """

    person: int
    up: str
    trunk: float
    unit: str | None


def number_fault(keypoint: np.ndarray, score: np.ndarray | None, skeleton: Skeleton) -> str:
    """Why a clip, or a person in one frame, has numbers that are not joints; empty if it has none.

    These are numbers that are not finite, confidences out of range or all zero, and numbers that mark missing
    joints, such as -1 or 999; and confidences in the place of depths.

    Args:
        keypoint: (M, T, V, C) or (V, C).
        score: the confidences, if they are separate; they may be the third number of joints in an image.
        skeleton: the layout.
    """
    if score is None and skeleton.flat and keypoint.shape[-1] == 3:
        keypoint, score = keypoint[..., :2], keypoint[..., 2]
    is_sound = keypoint.min(initial=0) > -np.inf and keypoint.max(initial=0) < np.inf
    if score is not None:
        is_sound = is_sound and score.min(initial=0) >= 0 and 0 < score.max(initial=0) <= HIGHEST
    has_scores = not skeleton.flat and _has_scores_for_depths(keypoint)
    if is_sound and not has_scores and not marked_joints(keypoint, skeleton).any():
        return ''  # as for most clips, in a fraction of the time
    score = np.broadcast_to(np.float32(1), keypoint.shape[:-1]) if score is None else score
    for field, numbers, where, text in _wrong_numbers(keypoint, score, skeleton):
        if where.any():
            place = tuple(map(int, np.argwhere(where)[0]))
            axes = zip(('person', 'frame', 'joint')[-len(place) :], place, strict=True)
            named = f'{", ".join(f"{axis} {at}" for axis, at in axes)} ({skeleton.joints[place[-1]]})'
            wrong = numbers[place][~np.isfinite(numbers[place])][:1]
            number = ', '.join(f'{number:g}' for number in (wrong if len(wrong) else numbers[place]))
            return f'{field}: {named}: {number}, in {plural(int(where.sum()), "joint")}, is {text}'
    if has_scores:
        return (
            'keypoint: the third coordinates are from 0 to 1, like confidences of joints in pixels; joints '
            'in an image need a flat layout ("flat": true in one of your own)'
        )
    is_person = score.ndim < 3 or not keypoint.any() or (score > 0).any()
    return '' if is_person else 'keypoint_score: no person, all joints have confidences of 0'


def _has_scores_for_depths(keypoint: np.ndarray) -> bool:
    """True for joints in pixels whose third coordinates look like confidences, of a layout in space."""
    depth = keypoint[..., 2:]
    if not 0 <= depth.min(initial=0) < depth.max(initial=0) <= 1:
        return False
    return bool(np.median(keypoint[keypoint.any(-1), :2].max(-1)) > PIXELS)


def _wrong_numbers(
    keypoint: np.ndarray, score: np.ndarray, skeleton: Skeleton
) -> Iterator[tuple[str, np.ndarray, np.ndarray, str]]:
    """The field, its numbers, where they are wrong (M, T, V), and what they are there."""
    advice = 'Set missing joints to zero in all coordinates'
    yield 'keypoint', keypoint, ~np.isfinite(keypoint).all(-1), f'not finite. {advice}'
    is_wrong = ~((score >= LOWEST) & (score <= HIGHEST))
    yield 'keypoint_score', score[..., None], is_wrong, 'not a confidence from 0 to 1'
    # Others are missing by their confidence.
    is_mark = marked_joints(keypoint, skeleton) & (score > 0)
    yield 'keypoint', keypoint, is_mark, f'a mark of a missing joint. {advice}'


def find_axes(keypoint: np.ndarray, skeleton: Skeleton) -> Axes | None:
    """Find the up axis and the unit of a recording by its first person.

    Args:
        keypoint: (M, T, V, C).
        skeleton: its layout.

    Returns:
        The axes; None if there is no depth or no joint named head, or no frame has both ends.
    """
    if skeleton.up is None or 'head' not in skeleton.joints or keypoint.shape[-1] < 3:
        return None
    ends = keypoint[:, :, [skeleton.up[0], skeleton.joints.index('head')], :3]
    present = np.any(ends, axis=-1).all(-1)
    if not present.any():
        return None
    person = int(present.any(1).argmax())
    trunk = np.diff(ends[person, present[person]], axis=1)[:, 0]
    mean = trunk.mean(0)
    axis = int(np.abs(mean).argmax())
    length = float(np.median(np.linalg.norm(trunk, axis=1)))
    low, high = TRUNK_LENGTHS
    units = [unit for unit, size in UNIT_SIZES.items() if low < length / size < high]
    return Axes(person, f'{"+" if mean[axis] > 0 else "-"}{"xyz"[axis]}', length, units[0] if units else None)


def judge_posture(keypoint: np.ndarray, skeleton: Skeleton) -> dict[str, bool] | None:
    """Check the first person present, over all frames that have the required joints.

    Args:
        keypoint: (M, T, V, C).
        skeleton: its layout.

    Returns:
        Which of :data:`DOUBTS` hold. In an image: from hips to shoulders is not +y; eyes and nose, which are
        seen from the front, have the left eye on the right, if there are such. In space: from hip to
        head is mostly +y; left is on the left of where the feet point, in right-handed axes; from hip to head
        could be meters. None if :func:`find_axes` returns None, the layout does not name these joints, or no
        frame has all of them.
    """
    if skeleton.flat:
        return _judge_flat(keypoint, skeleton)
    axes = find_axes(keypoint, skeleton)
    if not (axes and skeleton.up and skeleton.across and set(FEET) <= set(skeleton.joints)):
        return None
    person = keypoint[axes.person, ..., :3]
    feet, head = [skeleton.joints.index(name) for name in FEET], skeleton.joints.index('head')
    present = np.any(person[:, [*feet, head, skeleton.up[0], *skeleton.across]], axis=-1)
    joints = person[np.all(present, axis=1)]
    if not len(joints):
        return None
    legs = [joints[:, foot] for foot in feet]
    # Not hip to spine, which defines up elsewhere: on Kinect v1 it is short and leans backwards.
    up = joints[:, head] - joints[:, skeleton.up[0]]
    across = joints[:, skeleton.across[1]] - joints[:, skeleton.across[0]]
    ahead = legs[1] - legs[0] + legs[3] - legs[2]
    # Right = ahead x up in right-handed axes, and `across` goes from right to left.
    sided = bool((np.cross(ahead, up) * across).sum(axis=1).mean() < 0)
    return {'y is up': axes.up == '+y', 'left is left': sided, 'lengths are meters': axes.unit == 'm'}


def _judge_flat(keypoint: np.ndarray, skeleton: Skeleton) -> dict[str, bool] | None:
    if not set(SIDES) <= set(skeleton.joints):
        return None
    trunk = keypoint[:, :, [skeleton.joints.index(name) for name in SIDES], :2]
    trunk = trunk[trunk.any(-1).all(-1)]
    if not len(trunk):
        return None
    across, along = (trunk[:, 2:] - trunk[:, :2]).mean(1).T
    found = {'y is down': bool((along > abs(across)).mean() < MOST_UPSIDE_DOWN)}
    if set(FACE) <= set(skeleton.joints):
        face = keypoint[:, :, [skeleton.joints.index(name) for name in FACE], :2]
        left, right = face[face.any(-1).all(-1)][:, 1:, 0].T
        if len(left):
            found['left eyes are on the right'] = bool((left > right).mean() >= 0.5)
    return found


def describe_postures(postures: Sequence[Mapping[str, bool]]) -> list[Finding]:
    """Summarize the results of :func:`judge_posture`, with warnings about checks that most clips fail."""
    if not postures:
        return []
    judged = {what: [posture[what] for posture in postures if what in posture] for what in DOUBTS}
    of_all = [what for what, held in judged.items() if len(held) == len(postures)]
    counts = ', '.join(f'{what} in {sum(judged[what])}' for what in of_all)
    return [
        Finding(Level.NOTE, 'posture', f'{counts} of {len(postures)} clips'),
        *(
            Finding(Level.NOTE, 'posture', f'{what} in {sum(held)} of {len(held)} clips')
            for what, held in judged.items()
            if held and what not in of_all
        ),
        *(
            Finding(Level.WARNING, 'posture', f'in most clips {DOUBTS[what]}')
            for what, held in judged.items()
            if 2 * sum(held) < len(held)
        ),
    ]


def describe_pictures(faults: Sequence[str]) -> list[Finding]:
    """Summarize the results of :func:`picture_fault`, with a warning if most clips have a fault."""
    wrong = list(filter(None, faults))
    if not faults:
        return []
    counted = f'joints are in their image in {len(faults) - len(wrong)} of {len(faults)} clips'
    found = [Finding(Level.NOTE, 'image', counted)]
    if 2 * len(wrong) > len(faults):
        found.append(Finding(Level.WARNING, 'image', f'in most clips {wrong[0]}'))
    return found


def picture_of(clip: Mapping[str, Any], network_input: NetworkInput) -> tuple[int, int] | None:
    """The (height, width) by which a clip's pixels are normalized; None if they are not, or if unknown."""
    if not network_input.normalizes_pixels:
        return None
    shape = clip.get('img_shape')
    return network_input.img_shape if shape is None else tuple(shape)


def bone_length(
    keypoint: np.ndarray, skeleton: Skeleton, img_shape: tuple[int, int] | None = None
) -> float | None:
    """The median length of the bones of a clip, over the persons and frames in which both ends are present.

    Args:
        keypoint: (M, T, V, C).
        skeleton: its layout.
        img_shape: (height, width) of the image whose halves are the unit; None for the unit of the joints.

    Returns:
        The length; None if no bone is seen.
    """
    x = keypoint[..., : 2 if skeleton.flat or img_shape else 3].astype(np.float64)
    if img_shape is not None:
        x = x * 2 / np.array(img_shape[::-1], np.float64)
    children, parents = np.array(skeleton.bones, int).reshape(-1, 2).T
    present = np.asarray(np.isfinite(x).all(-1) & x.any(-1))
    length = np.linalg.norm(x[:, :, children] - x[:, :, parents], axis=-1)
    seen = length[present[:, :, children] & present[:, :, parents] & (length > 0)]
    return float(np.median(seen)) if seen.size else None


def sample_rows(number: int) -> list[int]:
    """At most :data:`MEASURED` of ``number`` rows, evenly spread."""
    return np.unique(np.linspace(0, number - 1, MEASURED).astype(int)).tolist()


def measure_scale(clips: Sequence[Mapping[str, Any]], network_input: NetworkInput) -> float | None:
    """The ``scale`` of a :class:`~mmdualhead.network_input.NetworkInput`: of at most :data:`MEASURED` clips.

    Args:
        clips: annotations, as they enter a pipeline.
        network_input: the network input that the pipeline forms from them.

    Returns:
        The scale; None if the layout is unknown, no bone is seen, or the pipeline normalizes any size.
    """
    skeleton = network_input.skeleton
    if skeleton is None or not len(clips) or network_input.takes_any_picture:
        return None
    chosen = [clip for clip in map(clips.__getitem__, sample_rows(len(clips))) if 'keypoint' in clip]
    lengths = [
        bone_length(np.asarray(clip['keypoint']), skeleton, picture_of(clip, network_input))
        for clip in chosen
        if np.shape(clip['keypoint'])[2:3] == (skeleton.num_joints,)
    ]
    known = [length for length in lengths if length is not None]
    return float(np.median(known)) if known else None


def compare_scales(scale: float | None, trained: float | None) -> tuple[Level, str] | None:
    """Compare lengths of bones with those that a network was trained on.

    Returns:
        The severity and the reason; None if both agree, or one is unknown.
    """
    if not scale or not trained:
        return None
    ratio = max(scale / trained, trained / scale)
    if ratio < OTHER_SCALE:
        return None
    text = f'bones are {scale / trained:.3g} times as long (median length {scale:.3g} and {trained:.3g})'
    if ratio < OTHER_UNIT:
        return Level.WARNING, text
    return Level.ERROR, f'{text}. Are they in another unit, or not normalized?'


def picture_fault(keypoint: np.ndarray, skeleton: Skeleton | None, img_shape: tuple[int, int]) -> str:
    """Why joints cannot be in an image of this size; empty if they can.

    Args:
        keypoint: (M, T, V, C), pixels first.
        skeleton: their layout; if it is unknown, persons are measured instead of bones.
        img_shape: (height, width).
    """
    height, width = img_shape
    x = keypoint[..., :2].astype(np.float64)
    seen = x[np.isfinite(x).all(-1) & x.any(-1)]
    if not len(seen):
        return ''
    picture = f'an image of height {height} and width {width}'
    size = np.array([width, height], np.float64)
    length = bone_length(keypoint, skeleton, img_shape) if skeleton else 2 * _extent(x / size)
    if length is not None and length < 2 * SMALLEST:
        what = 'bones' if skeleton else 'persons'
        return f'the {what} are {length / 2:.1g} of {picture} long; are the joints in pixels?'
    outside = ((seen < -MARGIN * size) | (seen > (1 + MARGIN) * size)).any(-1).mean()
    if outside > MOST_OUTSIDE:
        swapped = ((seen < 0) | (seen > size[::-1])).any(-1).mean() < MOST_OUTSIDE
        advice = '; are height and width exchanged?' if swapped else ''
        return f'{100 * outside:.0f} % of the joints are outside of {picture}{advice}'
    return ''


def _extent(x: np.ndarray) -> float:
    """The median size of a person (M, T, V, 2), the longer side of a box around the joints that are seen."""
    seen = np.isfinite(x).all(-1, keepdims=True) & x.any(-1, keepdims=True)
    box = np.where(seen, x, -np.inf).max(2) - np.where(seen, x, np.inf).min(2)
    return float(np.median(box.max(-1)[seen.any((2, 3))]))


def judge(
    keypoint: np.ndarray, network_input: NetworkInput, img_shape: tuple[int, int] | None, is_known: bool
) -> Iterator[Finding]:
    """Check that joints have the unit, the axes or the image, and the size that a network expects.

    Args:
        keypoint: (M, T, V, C) in the layout of the network.
        network_input: the input of the network.
        img_shape: (height, width) of the image in whose pixels they are; None for joints in space, or in
            image sizes, or if the network takes any image.
        is_known: the joints come from a data set, so that only the size of joints in space is checked.
    """
    skeleton, trained = network_input.skeleton, network_input.scale
    if skeleton is None:
        return
    if network_input.takes_any_picture:
        yield from judge_axes(keypoint, skeleton) if keypoint.shape[-1] == 2 else ()
        return
    length = bone_length(keypoint, skeleton, img_shape)
    if not skeleton.flat:
        yield from _judge_unit(keypoint, skeleton, is_known, is_measured=trained is not None)
    elif img_shape is not None:
        if fault := picture_fault(keypoint, skeleton, img_shape):
            yield Finding(Level.ERROR, 'keypoint', fault)
        if length is not None and not network_input.normalizes_pixels:
            length = length / 2  # the network takes image sizes, which are twice as large
    elif not (network_input.normalization or network_input.other_steps):
        yield from _judge_parts(keypoint, None if trained else length)
    yield from judge_axes(keypoint, skeleton, is_known)
    if difference := compare_scales(length, trained):
        level, text = difference
        yield Finding(level, 'keypoint', f'compared with the clips that the model was trained on, {text}')


def _judge_unit(
    keypoint: np.ndarray, skeleton: Skeleton, is_known: bool, is_measured: bool
) -> Iterator[Finding]:
    if is_known:
        return
    axes = find_axes(keypoint, skeleton)
    if axes is not None and axes.unit != 'm':
        looks = f'as if in {axes.unit}' if axes.unit else 'as in no usual unit'
        text = f'person {axes.person} measures {axes.trunk:.3g} from hip to head, {looks}'
        advice = "give unit='cm' or 'mm', or 'm' to use the numbers as they are"
        yield Finding(Level.ERROR, 'keypoint', f'{text}; {advice}')
    if axes is None and not is_measured:
        yield Finding(Level.NOTE, 'unit', 'not checked, no frame has both hip and head')


def _judge_parts(keypoint: np.ndarray, length: float | None) -> Iterator[Finding]:
    """Joints of which the network expects fractions of an image whose center is at zero."""
    advice = 'for joints in pixels, give img_shape=(height, width)'
    if length is not None and length > LONGEST:
        text = f'the bones are {length:.3g} images long, expected fractions of one'
        yield Finding(Level.ERROR, 'keypoint', f'{text}; {advice}')
    elif keypoint[..., :2].min() >= 0:
        text = 'no coordinate is negative, but the center of the image should be at 0'
        yield Finding(Level.NOTE, 'keypoint', f'{text}; {advice}')


def judge_axes(keypoint: np.ndarray, skeleton: Skeleton, is_known: bool = False) -> Iterator[Finding]:
    """Notes on axes that look exchanged or are missing, of a recording that comes from no data set."""
    depths = keypoint[keypoint.any(-1)][:, 2:] if not (skeleton.flat or is_known) else np.empty((0, 0))
    if depths.size and (depths == depths[0]).all():
        text = f'no depth, z is {depths[0, 0]:g} in all joints; are they joints in an image?'
        yield Finding(Level.NOTE, 'axes', text)
        return
    posture = None if is_known else judge_posture(keypoint, skeleton)
    for what in ('left is left', 'y is down'):
        if not (posture or {}).get(what, True):
            yield Finding(Level.NOTE, 'axes', DOUBTS[what])

"""Check annotations before training starts.

Each clip is first checked by itself and reduced to one row of a table
(:mod:`~mmdualhead.datasets.annotations.clips`); the rows are then checked together, by :data:`RULES`, against
the input of the network. N clips, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.clips import LABELS, Clips, ClipTable, clip_name, describe_clips
from mmdualhead.datasets.plausibility import number_fault, picture_fault, picture_of, sample_rows
from mmdualhead.datasets.transforms.body import body_fault
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.network_input import CUTTING, NetworkInput
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.text import SHOWN

((PADDING, REPLACEMENT),) = CUTTING.items()

OUTLIER_LARGE = 50.0
OUTLIER_SMALL = 0.02
"""Factors of the median clip's root mean square."""

ABSURD, UNSQUARABLE = 1e9, 1e18
"""A factor of the median clip's root mean square, and a coordinate whose square exceeds float32."""

MANY_PERSONS, FEW_FRAMES = 20, 6
"""A clip with more persons and at most so many frames has its axes swapped."""

META_KINDS: dict[str, tuple] = {
    'dataset': ('a name', str),
    'layout': ('a name or a definition', str, Mapping),
    'classes': ('a list of names', list, tuple),
    'normalized': ('True or False', bool, np.bool_),
}


def check_meta(meta: Any) -> dict[str, Any]:
    """The meta of an annotation file, after checking the fields that this package reads.

    Raises:
        UserError: a field has the wrong type, or contradicts itself.
    """
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise UserError(f'meta: expected a dict, found a {type(meta).__name__}')
    for key, (expected, *kinds) in META_KINDS.items():
        if meta.get(key) is not None and not isinstance(meta[key], tuple(kinds)):
            raise UserError(f'meta.{key}: expected {expected}, found {meta[key]!r}')
    classes = list(meta.get('classes') or ())
    wrong = [name for name in classes if not isinstance(name, str) or classes.count(name) > 1]
    if wrong:
        raise UserError(f'meta.classes: expected different names, found {wrong[:SHOWN]}')
    if wrong := [name for name in classes if '\0' in name]:
        raise UserError(f'meta.classes: expected names without NUL bytes, found {wrong[:SHOWN]}')
    if isinstance(meta.get('layout'), Mapping):
        try:
            get_skeleton(meta['layout'])
        except (TypeError, ValueError) as error:
            raise UserError(f'meta.layout: {error}') from None
    return dict(meta)


class Columns:
    """The columns of a table, and the values that the rules compare them with.

    Args:
        clips: the clips; few of them are read.
        table: one row per clip.
        network_input: the input of the network.
        training: whether the clips are trained on.
    """

    def __init__(self, clips: Clips, table: ClipTable, network_input: NetworkInput, training: bool) -> None:
        self.clips, self.network_input = clips, network_input
        kept = 'They are kept as zeros, since a test set keeps its size.'
        self.use_of_empty = 'They are skipped.' if training else kept
        self.power = table.power
        self.label = table.label
        self.persons, self.frames, self.joints, self.coordinates = table.shape.T
        self.empty = self.power == 0
        self.size = np.sqrt(self.power)
        known = self.size[~self.empty & np.isfinite(self.power)]
        self.usual_size = float(np.median(known)) if len(known) else 1.0

        classes, skeleton = network_input.num_classes, network_input.skeleton
        self.num_classes = LABELS if classes is None else classes
        self.labels = '0 or more' if classes is None else f'0..{classes - 1} (num_classes={classes})'
        usual = 'as most clips of the split'
        self.num_joints = skeleton.num_joints if skeleton else _most_common(self.joints)
        self.whose_joints = f'layout {skeleton.name!r}' if skeleton else usual
        self.num_coordinates = 3 if network_input.needs_depth else _most_common(self.coordinates)
        self.whose_coordinates = 'for 3-D normalization' if network_input.needs_depth else usual
        sampling = network_input.sampling
        self.max_frames = sampling.length if sampling.length and not sampling.cuts else LABELS
        self.max_persons = network_input.num_person or LABELS

    @cached_property
    def pictures(self) -> list[Any]:
        """The image size of each clip; empty if the network needs none."""
        if not self.network_input.normalizes_pixels:
            return []
        return [info.get('img_shape') for info in self.clips.infos()]

    @property
    def without_picture(self) -> np.ndarray:
        """(N,) True for clips without a valid image size, by which they are normalized."""
        needs = self.network_input.needs_picture
        wrong = [needs if shape is None else not is_picture(shape) for shape in self.pictures]
        return np.array(wrong, bool) if wrong else np.zeros(len(self.power), bool)

    @cached_property
    def number_faults(self) -> dict[int, str]:
        """By row, why numbers are not joints or confidences: of all clips in memory, else of sampled ones."""
        skeleton = self.network_input.skeleton
        if skeleton is None:
            return {}
        # In half precision, depths are whole numbers by chance, which takes long to tell from marks.
        is_half = self.clips[0]['keypoint'].dtype == np.float16
        every = self.clips.in_memory and (skeleton.flat or not is_half)
        found = {}
        for row in range(len(self.clips)) if every else sample_rows(len(self.clips)):
            clip = self.clips[row]
            if clip['keypoint'].shape[2] == skeleton.num_joints:
                found[row] = number_fault(clip['keypoint'], clip.get('keypoint_score'), skeleton)
        return {row: fault for row, fault in found.items() if fault}

    @cached_property
    def picture_faults(self) -> dict[int, str]:
        """By row of the sampled clips, why their joints cannot be in their images; empty if they can."""
        found = {}
        for row in sample_rows(len(self.clips)) if self.pictures else ():
            clip = self.clips[row]
            shape = picture_of(clip, self.network_input)
            if shape is not None and is_picture(shape) and self.joints[row] == self.num_joints:
                found[row] = picture_fault(clip['keypoint'], self.network_input.skeleton, shape)
        return found

    @cached_property
    def body_faults(self) -> dict[int, str]:
        """By row, why clips cannot be normalized by the body; of all clips, since one of them ends a run."""
        expected = self.network_input
        if expected.min_score is None or expected.skeleton is None:
            return {}
        found = {}
        for row in np.flatnonzero(~self.empty & (self.joints == self.num_joints)).tolist():
            clip = self.clips[row]
            found[row] = body_fault(clip, expected.skeleton, expected.min_score, expected.needs_depth)
        return {row: fault for row, fault in found.items() if fault}

    @property
    def most_outside(self) -> bool:
        """True if most of the sampled clips cannot be in their images."""
        return 2 * sum(map(bool, self.picture_faults.values())) > len(self.picture_faults)

    def outside(self, most: bool) -> np.ndarray:
        """(N,) True for sampled clips whose joints cannot be in their images, if these are most, or few."""
        return self.at(
            row for row, fault in self.picture_faults.items() if fault and self.most_outside is most
        )

    def at(self, rows: Iterable[int]) -> np.ndarray:
        """(N,) True for some rows."""
        return np.isin(np.arange(len(self.power)), list(rows))


class Rule(NamedTuple):
    """A requirement on clips.

    Args:
        level: the level of the finding if some do not meet it.
        field: the field of the annotations.
        expected: the expected value; ``{c.NAME}`` denotes an attribute of the :class:`Columns`.
        differs: the test: (N,) True for clips that do not meet it.
        found: the value in the clip of a row.
        advice: what was or can be done about it, formatted as ``expected``.
    """

    level: Level
    field: str
    expected: str
    differs: Callable[[Columns], np.ndarray]
    found: Callable[[Columns, int], str]
    advice: str = ''

    def check(self, columns: Columns) -> list[Finding]:
        """The finding on all clips that differ, if there are any."""
        rows = np.flatnonzero(self.differs(columns)).tolist()
        return describe_clips(
            self.level,
            self.field,
            self.expected.format(c=columns),
            rows,
            lambda row: (clip_name(columns.clips[row], row), self.found(columns, row)),
            self.advice.format(c=columns),
        )


def check_clips(
    clips: Clips,
    table: ClipTable,
    network_input: NetworkInput,
    *,
    training: bool = True,
) -> list[Finding]:
    """Check the clips of one split together against the input of a network.

    Args:
        clips: the clips; few of them are read.
        table: their :meth:`~mmdualhead.datasets.annotations.clips.Clips.table`.
        network_input: the input of the network; fields that it leaves open are not checked.
        training: whether the clips are trained on, or evaluated.

    Returns:
        The errors, or if there are none the warnings.
    """
    if not len(clips):
        return []
    columns = Columns(clips, table, network_input, training)
    for level in (Level.ERROR, Level.WARNING):
        found = [finding for rule in RULES if rule.level is level for finding in rule.check(columns)]
        if found:
            return found
    return []


def is_picture(shape: Any) -> bool:
    """True if it is the (height, width) of an image."""
    try:
        height, width = (float(size) for size in shape)
    except (TypeError, ValueError):
        return False
    return 0 < height < np.inf and 0 < width < np.inf


def _most_common(sizes: np.ndarray) -> int:
    return int(np.bincount(sizes).argmax())


def _shape(columns: Columns, row: int) -> str:
    sizes = (columns.persons, columns.frames, columns.joints, columns.coordinates)
    return f'shape {tuple(int(size[row]) for size in sizes)}'


def _locate_largest(columns: Columns, row: int) -> str:
    keypoint = columns.clips[row]['keypoint']
    return _at(keypoint, np.unravel_index(np.abs(keypoint).argmax(), keypoint.shape))


def _locate_nonfinite(columns: Columns, row: int) -> str:
    """The position of the first NaN or infinity, and their number."""
    keypoint = columns.clips[row]['keypoint']
    wrong = np.argwhere(~np.isfinite(keypoint))
    return f'{_at(keypoint, wrong[0])}; {len(wrong)} in all'


def _at(keypoint: np.ndarray, place: Sequence[Any]) -> str:
    person, frame, joint, channel = place
    return f'{keypoint[tuple(place)]} at person {person}, frame {frame}, joint {joint}, channel {channel}'


def _picture(columns: Columns, row: int) -> str:
    shape = columns.pictures[row]
    return 'missing' if shape is None else repr(shape)


RULES = (
    Rule(
        Level.ERROR,
        'label',
        '{c.labels}',
        lambda c: (c.label < 0) | (c.label >= c.num_classes),
        lambda c, row: str(c.label[row]),
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'persons before frames, (M, T, V, C)',
        lambda c: (c.persons > MANY_PERSONS) & (c.frames <= FEW_FRAMES),
        lambda c, row: f'{_shape(c, row)}, which looks like (T, M, V, C)',
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        '{c.num_joints} joints ({c.whose_joints})',
        lambda c: c.joints != c.num_joints,
        _shape,
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        '{c.num_coordinates} coordinates ({c.whose_coordinates})',
        lambda c: c.coordinates != c.num_coordinates,
        _shape,
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'up to {c.max_frames} frames',
        lambda c: c.frames > c.max_frames,
        lambda c, row: str(c.frames[row]),
        f'{PADDING} rejects longer clips; {REPLACEMENT}(length={{c.max_frames}}) cuts them.',
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'finite numbers',
        lambda c: ~np.isfinite(c.power),
        _locate_nonfinite,
        'With SkeletonDataset(check=False), NormalizeSkeleton3D treats such joints as missing.',
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'zeros for missing joints, and confidences from 0 to 1',
        lambda c: c.at(row for row in c.number_faults if np.isfinite(c.power[row])),
        lambda c, row: c.number_faults[row],
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'coordinates of a person',
        lambda c: np.isfinite(c.power) & ((c.size > ABSURD * c.usual_size) | (c.size > UNSQUARABLE)),
        _locate_largest,
    ),
    Rule(
        Level.ERROR,
        'img_shape',
        'the (height, width) of the image, by which the joints are normalized',
        lambda c: c.without_picture,
        _picture,
        'Add it to the annotations (`mmdualhead data custom --img-shape HEIGHT WIDTH` does), or state '
        'img_shape=(height, width) in the step of the pipeline that normalizes.',
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'joints in pixels of the image',
        lambda c: c.outside(most=True),
        lambda c, row: c.picture_faults[row],
    ),
    Rule(
        Level.ERROR,
        'keypoint',
        'hips and shoulders of every person in a frame, by which the joints are normalized',
        lambda c: c.at(c.body_faults),
        lambda c, row: c.body_faults[row],
        'Leave these clips out, or set the joints of such a person to zero.',
    ),
    Rule(
        Level.WARNING,
        'keypoint',
        'joints in pixels of the image',
        lambda c: c.outside(most=False),
        lambda c, row: c.picture_faults[row],
        'Found in a sample of the clips; they are used unchanged.',
    ),
    Rule(
        Level.WARNING,
        'keypoint',
        'at least one visible person',
        lambda c: c.empty,
        lambda c, row: 'no person (all zeros)',  # noqa: ARG005
        '{c.use_of_empty}',
    ),
    Rule(
        Level.WARNING,
        'keypoint',
        'more than one frame',
        lambda c: c.frames == 1,
        lambda c, row: '1 frame',  # noqa: ARG005
        'It is shown as a still.',
    ),
    Rule(
        Level.WARNING,
        'keypoint',
        'up to {c.max_persons} persons',
        lambda c: c.persons > c.max_persons,
        lambda c, row: str(c.persons[row]),
        "The pipeline's last steps keep {c.max_persons}: ours the most active, MMAction2's the first.",
    ),
    Rule(
        Level.WARNING,
        'keypoint',
        'coordinates of about the usual size (root mean square {c.usual_size:.3g})',
        lambda c: (
            ~c.empty & ((c.size > OUTLIER_LARGE * c.usual_size) | (c.size < OUTLIER_SMALL * c.usual_size))
        ),
        lambda c, row: f'{c.size[row]:.3g}, {c.size[row] / c.usual_size:.3g} times as large',
        'Different units (mm instead of m)? They are used unchanged.',
    ),
)
"""The checks of all clips together, in the order in which they are reported."""

"""Skeleton layouts: the only place that defines joints and how they are connected.

Graph edges (:mod:`mmdualhead.models.graph`), bone vectors, mirroring and normalization all derive from a
:class:`Skeleton`. Joint indices are 0-based. V is the number of joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import numpy as np

from mmdualhead.errors import UserError

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A joint layout.

    Args:
        name: name of the layout in configs and messages.
        joints: joint names, in the order of the recordings.
        bones: ``(child, parent)`` for every joint but the root; together they form a tree. The bone
            vector of a joint is the joint minus its parent; the root's is zero.
        center: the joint that normalization moves to the origin. Defaults to the root of the bones.
        pairs: ``(left, right)`` joints that are swapped when a clip is mirrored.
        up: ``(from, to)`` joints whose direction becomes the z axis, e.g. hip to spine; None for
            layouts without depth.
        across: ``(right, left)`` joints, e.g. the shoulders; from left to right becomes the x axis.
        edges: graph edges, where the commonly used graph differs from the tree of bones. Defaults to the
            bones.
        flat: joints are in an image, and a third coordinate is a confidence.
        meaning: anatomical names of joints that are commonly named differently, for :func:`convert_layout`:
            ``{'neck': 'shoulder center'}`` where the neck is the point between the shoulders.

    Raises:
        UserError: a joint index is out of range, the bones are not a tree, or a joint has two mirror
            images.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[Pair, ...]
    center: int | None = None
    pairs: tuple[Pair, ...] = ()
    up: Pair | None = None
    across: Pair | None = None
    edges: tuple[Pair, ...] = ()
    flat: bool = False
    meaning: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._check_indices()
        root = self._find_root()
        if self.center is None:
            object.__setattr__(self, 'center', root)
        if not self.edges:
            object.__setattr__(self, 'edges', self.bones)

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @property
    def parents(self) -> tuple[int, ...]:
        """The parent of every joint; the root is its own, so that its bone vector is zero."""
        parent = dict(self.bones)
        return tuple(parent.get(joint, joint) for joint in range(self.num_joints))

    @property
    def mirror(self) -> tuple[int, ...]:
        """The permutation of the joints that swaps left and right."""
        image = {a: b for left, right in self.pairs for a, b in ((left, right), (right, left))}
        return tuple(image.get(joint, joint) for joint in range(self.num_joints))

    @property
    def outwards(self) -> tuple[int, ...]:
        """The joints but the root, each after its parent."""
        order = TopologicalSorter({child: [parent] for child, parent in self.bones}).static_order()
        return tuple(order)[1:]

    def _check_indices(self) -> None:
        center = None if self.center is None else (self.center,)
        single = {'up': self.up, 'across': self.across, 'center': center}
        named: dict[str, Sequence[tuple[int, ...]]]
        named = {'bones': self.bones, 'pairs': self.pairs, 'edges': self.edges}
        named |= {what: [joints] for what, joints in single.items() if joints}
        for what, tuples in named.items():
            wrong = [joints for joints in tuples if not all(map(self._is_joint, joints))]
            if wrong:
                raise UserError(
                    f'skeleton {self.name!r}: {what} {wrong} contain joints outside 0..{self.num_joints - 1}'
                )
        mirrored = [joint for pair in self.pairs for joint in pair]
        if len(set(mirrored)) < len(mirrored):
            raise UserError(f'skeleton {self.name!r}: pairs {list(self.pairs)} contain a joint twice')

    def _is_joint(self, index: Any) -> bool:
        is_integer = isinstance(index, int | np.integer) and not isinstance(index, bool)
        return is_integer and 0 <= index < self.num_joints

    def _find_root(self) -> int:
        """The one joint without a parent, after checking that every other joint leads to it."""
        children = [child for child, _ in self.bones]
        roots = sorted(set(range(self.num_joints)) - set(children))
        if len(roots) != 1 or len(set(children)) < len(children):
            raise UserError(
                f'skeleton {self.name!r}: every joint but one needs exactly one parent in bones; '
                f'joints without a parent: {roots}, bones: {list(self.bones)}'
            )
        try:
            TopologicalSorter({child: [parent] for child, parent in self.bones}).prepare()
        except CycleError as error:
            raise UserError(
                f'skeleton {self.name!r}: bones form a cycle at joint {error.args[1][0]}'
            ) from error
        return roots[0]


def get_skeleton(layout: str | Mapping[str, Any] | Skeleton) -> Skeleton:
    """Look up a layout.

    Args:
        layout: the name of a layout in :data:`SKELETONS` or :data:`ALIASES`, a custom definition (the
            arguments of :class:`Skeleton` as a dict; ``joints`` may be a count and ``name`` omitted), or a
            :class:`Skeleton`, which is returned unchanged.

    Returns:
        The skeleton.

    Raises:
        UserError: the name is unknown, or the definition contradicts itself.
        TypeError: the definition has an unknown field, or lacks a required one.
    """
    if isinstance(layout, Skeleton):
        return layout
    if isinstance(layout, str):
        known = ALIASES.get(layout, layout)
        if known not in SKELETONS:
            raise UserError(f'unknown skeleton layout {layout!r}; known: {sorted([*SKELETONS, *ALIASES])}')
        return SKELETONS[known]
    fields = {'name': 'custom', **{key: _as_tuple(value) for key, value in layout.items()}}
    if isinstance(fields.get('joints'), int):
        fields['joints'] = tuple(f'joint {i}' for i in range(fields['joints']))
    return Skeleton(**fields)


def _as_tuple(value: Any) -> Any:
    """Lists from a config, also nested ones, as tuples for a frozen skeleton."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_as_tuple(item) for item in value)
    return value


def _define(
    name: str,
    joints: str,
    bones: str,
    *,
    center: str | None = None,
    up: str | None = None,
    edges: str | None = None,
    flat: bool = False,
    meaning: Mapping[str, str] | None = None,
) -> Skeleton:
    """A layout by the names of its joints, which define pairs and, except for flat ones, shoulders.

    Args:
        name: of the layout.
        joints: in the order of the recordings: ``'neck; left, right: hip, knee; both: eye, ear'``, all of the
            left and then all of the right, or, with ``both``, the left and the right one of each.
        bones: chains from the root outwards, ``'neck > * hip > * knee; neck > * eye'``, in which ``*``
            denotes either side.
        center: as in :class:`Skeleton`, by name.
        up: the joint below the center.
        edges: chains as well.
        flat, meaning: as in :class:`Skeleton`.
    """
    listed: list[str] = []
    for group in joints.split('; '):
        sides, _, own = group.rpartition(': ')
        if sides == 'both':
            listed += [f'{side} {joint}' for joint in own.split(', ') for side in ('left', 'right')]
        else:
            listed += [f'{side} {joint}'.strip() for side in sides.split(', ') for joint in own.split(', ')]
    index = {joint: i for i, joint in enumerate(listed)}

    def links(chains: str) -> tuple[Pair, ...]:
        sided = [chain.replace('*', side) for chain in chains.split('; ') for side in ('left', 'right')]
        steps = [pairwise(chain.split(' > ')) for chain in sided]
        return tuple(sorted({(index[child], index[parent]) for chain in steps for parent, child in chain}))

    return Skeleton(
        name=name,
        joints=tuple(listed),
        bones=links(bones),
        center=index[center] if center else None,
        pairs=tuple((i, index[j.replace('left', 'right')]) for j, i in index.items() if 'left' in j),
        up=(index[up], index[center]) if up and center else None,
        across=None if flat else (index['right shoulder'], index['left shoulder']),
        edges=links(edges) if edges else (),
        flat=flat,
        meaning=meaning or {},
    )


NTU = _define(
    'nturgb+d',
    'spine base, spine mid, neck, head; left, right: shoulder, elbow, wrist, hand; '
    'left, right: hip, knee, ankle, foot; spine shoulder; left, right: hand tip, thumb',
    # As the authors: hand tips are connected to thumbs, thumbs to hands (MMAction2's graph differs).
    'spine shoulder > * shoulder > * elbow > * wrist > * hand > * thumb > * hand tip; '
    'spine shoulder > spine mid > spine base > * hip > * knee > * ankle > * foot; '
    'spine shoulder > neck > head',
    center='spine mid',
    up='spine base',
    meaning={'spine base': 'pelvis', 'spine mid': 'spine', 'spine shoulder': 'shoulder center'},
)

KINECT_V1 = _define(
    'kinect_v1',
    'hip center, spine, shoulder center, head; '
    'left, right: shoulder, elbow, wrist, hand; left, right: hip, knee, ankle, foot',
    'shoulder center > head; shoulder center > * shoulder > * elbow > * wrist > * hand; '
    'shoulder center > spine > hip center > * hip > * knee > * ankle > * foot',
    center='spine',
    up='hip center',
    meaning={'hip center': 'pelvis'},
)

KINECT_AZURE = _define(
    'kinect_azure',
    'pelvis, spine navel, spine chest, neck; '
    'left, right: clavicle, shoulder, elbow, wrist, hand, hand tip, thumb; '
    'left, right: hip, knee, ankle, foot; head, nose; left, right: eye, ear',
    'pelvis > spine navel > spine chest > neck > head > nose; head > * eye; head > * ear; * wrist > * thumb; '
    'spine chest > * clavicle > * shoulder > * elbow > * wrist > * hand > * hand tip; '
    'pelvis > * hip > * knee > * ankle > * foot',
    center='spine navel',
    up='pelvis',
    meaning={'spine navel': 'spine', 'spine chest': 'chest'},
)

OPENPOSE = _define(
    'openpose',
    'nose, neck; right, left: shoulder, elbow, wrist; right, left: hip, knee, ankle; right, left: eye; '
    'right, left: ear',
    'nose > neck > * shoulder > * elbow > * wrist; * shoulder > * hip > * knee > * ankle; '
    'nose > * eye > * ear',
    center='neck',
    flat=True,
    meaning={'neck': 'shoulder center'},
)

OPENPOSE_25 = _define(
    'openpose_25',
    'nose, neck; right, left: shoulder, elbow, wrist; mid hip; right, left: hip, knee, ankle; '
    'right, left: eye; right, left: ear; left, right: big toe, small toe, heel',
    'mid hip > neck > nose > * eye > * ear; neck > * shoulder > * elbow > * wrist; '
    'mid hip > * hip > * knee > * ankle > * heel; * ankle > * big toe > * small toe',
    center='neck',
    flat=True,
    meaning={'neck': 'shoulder center', 'mid hip': 'pelvis'},
)

COCO = _define(
    'coco',
    'nose; both: eye, ear, shoulder, elbow, wrist, hip, knee, ankle',
    'nose > * eye > * ear; nose > * shoulder > * elbow > * wrist; nose > * hip > * knee > * ankle',
    # In the commonly used graph, the hips are connected to the shoulders; their bones start at the nose.
    edges='nose > * eye > * ear; nose > * shoulder > * elbow > * wrist; '
    '* shoulder > * hip > * knee > * ankle',
    flat=True,
)

HALPE = _define(
    'halpe_26',
    'nose; both: eye, ear, shoulder, elbow, wrist, hip, knee, ankle; head, neck, hip; '
    'both: big toe, small toe, heel',
    'hip > neck > head > nose > * eye > * ear; neck > * shoulder > * elbow > * wrist; '
    'hip > * hip > * knee > * ankle > * heel; * ankle > * big toe > * small toe',
    center='neck',
    flat=True,
    meaning={'head': 'head top', 'neck': 'shoulder center', 'hip': 'pelvis'},
)

MEDIAPIPE = _define(
    'mediapipe',
    'nose; left, right: eye inner, eye, eye outer; both: ear, mouth, shoulder, elbow, wrist, pinky, index, '
    'thumb, hip, knee, ankle, heel, foot index',
    'nose > * eye inner > * eye > * eye outer > * ear; nose > * mouth; * wrist > * index; * wrist > * thumb; '
    'nose > * shoulder > * elbow > * wrist > * pinky; * ankle > * foot index; '
    '* shoulder > * hip > * knee > * ankle > * heel',
)

HUMAN36M = _define(
    'h36m',
    'pelvis; right, left: hip, knee, ankle; spine, thorax, neck, head; left, right: shoulder, elbow, wrist',
    'pelvis > * hip > * knee > * ankle; pelvis > spine > thorax > neck > head; '
    'thorax > * shoulder > * elbow > * wrist',
    center='spine',
    up='pelvis',
    meaning={'thorax': 'shoulder center', 'head': 'head top'},
)

SMPL = _define(
    'smpl',
    'pelvis; both: hip; spine 1; both: knee; spine 2; both: ankle; spine 3; both: foot; neck; both: collar; '
    'head; both: shoulder, elbow, wrist, hand',
    'pelvis > * hip > * knee > * ankle > * foot; pelvis > spine 1 > spine 2 > spine 3 > neck > head; '
    'spine 3 > * collar > * shoulder > * elbow > * wrist > * hand',
    center='spine 2',
    up='pelvis',
    meaning={
        **{'spine 1': 'lumbar spine', 'spine 2': 'spine', 'spine 3': 'chest'},
        **{'left collar': 'left clavicle', 'right collar': 'right clavicle'},
    },
)

SMPL_22 = _define(
    'smpl_22',
    'pelvis; both: hip; spine 1; both: knee; spine 2; both: ankle; spine 3; both: foot; neck; both: collar; '
    'head; both: shoulder, elbow, wrist',
    'pelvis > * hip > * knee > * ankle > * foot; pelvis > spine 1 > spine 2 > spine 3 > neck > head; '
    'spine 3 > * collar > * shoulder > * elbow > * wrist',
    center='spine 2',
    up='pelvis',
    meaning=SMPL.meaning,
)
"""SMPL without hands, as HumanML3D and AMASS's body have it."""

BODY = _define(
    'body_13',
    'head; both: shoulder, elbow, wrist, hip, knee, ankle',
    'head > * shoulder > * elbow > * wrist; * shoulder > * hip > * knee > * ankle',
    edges='head > * shoulder > * elbow > * wrist; * shoulder > * hip > * knee > * ankle; '
    'left shoulder > right shoulder; left hip > right hip',
    flat=True,
)
"""The joints that all other layouts have or define, in an image: y points down."""

_KINECTS = (NTU, KINECT_V1, KINECT_AZURE)
_ESTIMATORS = (OPENPOSE, OPENPOSE_25, COCO, HALPE, MEDIAPIPE, HUMAN36M, SMPL, SMPL_22, BODY)
SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (*_KINECTS, *_ESTIMATORS)}

ALIASES = {'kinect_v2': 'nturgb+d', 'coco_wholebody_body': 'coco'}
"""Other names; of COCO-WholeBody's 133 keypoints the first 17, the body, are those of COCO."""


# The joints whose mean replaces one that a layout lacks. The first group that the layout has is used and, in
# frames in which one of its joints is missing, the next. A single joint is close enough: the toes are where
# the Kinect sees the foot.
BETWEEN: dict[str, tuple[tuple[str, ...], ...]] = {
    'pelvis': (('left hip', 'right hip'),),
    'shoulder center': (('left shoulder', 'right shoulder'),),
    'spine': (('pelvis', 'shoulder center'),),
    'lumbar spine': (('pelvis', 'spine'),),
    'chest': (('spine', 'shoulder center'),),
    # Its middle. Of somebody who turns, estimators lose an ear, and the nose has moved to the other side.
    'head': (
        *(('left ear', 'right ear'), ('neck', 'head top')),
        *(('nose', 'left ear'), ('nose', 'right ear'), ('nose',)),
    ),
    'neck': (('shoulder center', 'head'),),
}
for _side in ('left', 'right'):
    BETWEEN |= {
        f'{_side} clavicle': (('shoulder center', f'{_side} shoulder'),),
        f'{_side} hand': ((f'{_side} wrist', f'{_side} index', f'{_side} pinky'),),
        f'{_side} hand tip': ((f'{_side} index', f'{_side} pinky'),),
        f'{_side} foot': ((f'{_side} big toe', f'{_side} small toe'), (f'{_side} foot index',)),
    }


def convert_layout(
    keypoints: np.ndarray,
    source: str | Mapping[str, Any] | Skeleton,
    target: str | Mapping[str, Any] | Skeleton,
) -> np.ndarray:
    """Convert recordings from one layout to another, joint by joint.

    A joint of the same name and meaning is copied; one that the source lacks and that is between others
    (:data:`BETWEEN`) is their mean. It is missing (zero) where one of these is missing, that is, has only
    zero coordinates, unless it is also between others.

    Args:
        keypoints: (..., V, C) in the layout ``source``, whose last axis may include a confidence.
        source: the layout of the joints, see :func:`get_skeleton`.
        target: the layout to convert them to.

    Returns:
        (..., V', C) in the layout ``target``; a float type is kept, integers become float32.

    Raises:
        UserError: there are not V joints, or joints of the target cannot be derived from the source; the
            message names them.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    keypoints = np.asarray(keypoints)
    if keypoints.ndim < 2 or keypoints.shape[-2] != source.num_joints:
        raise UserError(
            f'keypoints of shape {keypoints.shape}: layout {source.name!r} needs '
            f'(..., {source.num_joints}, C)'
        )
    weights, lacking = conversion(source, target)
    if lacking:
        raise UserError(
            f'layout {source.name!r} cannot be converted to {target.name!r}: it lacks {", ".join(lacking)}'
        )
    if keypoints.dtype.kind != 'f':
        keypoints = keypoints.astype(np.float32)
    converted = np.einsum('uv,...vc->...uc', weights.astype(keypoints.dtype), keypoints)
    missing = np.logical_not(np.any(keypoints, axis=-1))
    if missing.any():
        converted[(missing[..., None, :] & (weights > 0)).any(-1)] = 0
        _fill_from_others(converted, keypoints, missing, source, target)
    return converted


def _fill_from_others(
    converted: np.ndarray, keypoints: np.ndarray, missing: np.ndarray, source: Skeleton, target: Skeleton
) -> None:
    """Take joints that are missing in a frame, though not in the layout, from the next of :data:`BETWEEN`."""
    known = _known(source)
    for joint, place in enumerate(_places(target)):
        for others in BETWEEN.get(place, ()) if place not in known else ():
            row = _mean_of(others, known, (place,))
            lost = ~converted[..., joint, :].any(-1) & ~missing[..., row > 0].any(-1)
            if row.any() and lost.any():
                converted[lost, joint] = np.einsum('v,nvc->nc', row.astype(keypoints.dtype), keypoints[lost])


def conversion(source: Skeleton, target: Skeleton) -> tuple[np.ndarray, list[str]]:
    """Each joint of a layout as a mean of joints of another.

    Returns:
        (V', V) weights, whose rows sum to 1, and the names of the joints that cannot be derived, whose rows
        are 0.
    """
    known = _known(source)
    weights = np.array([_find(place, known) for place in _places(target)])
    return weights, [joint for joint, row in zip(target.joints, weights, strict=True) if not row.any()]


def layouts_with(joints: int, target: Skeleton) -> list[str]:
    """The names of the layouts with so many joints that can be converted to another."""
    return [
        name
        for name, skeleton in SKELETONS.items()
        if skeleton.num_joints == joints
        and skeleton.flat <= target.flat
        and not conversion(skeleton, target)[1]
    ]


def _places(skeleton: Skeleton) -> list[str]:
    return [skeleton.meaning.get(joint, joint) for joint in skeleton.joints]


def _known(skeleton: Skeleton) -> dict[str, np.ndarray]:
    """The weights of the joints that a layout has, by place."""
    return dict(zip(_places(skeleton), np.eye(skeleton.num_joints), strict=True))


def _find(place: str, known: Mapping[str, np.ndarray], sought: tuple[str, ...] = ()) -> np.ndarray:
    """The weights of a joint; zeros if it cannot be derived without the joints in progress."""
    if place in known:
        return known[place]
    for others in BETWEEN.get(place, ()) if place not in sought else ():
        row = _mean_of(others, known, (*sought, place))
        if row.any():
            return row
    return np.zeros_like(next(iter(known.values())))


def _mean_of(places: Sequence[str], known: Mapping[str, np.ndarray], sought: tuple[str, ...]) -> np.ndarray:
    """The weights of the middle of several joints; zeros if one of them cannot be derived."""
    rows = [_find(place, known, sought) for place in places]
    return np.asarray(np.mean(rows, axis=0) * all(row.any() for row in rows))

"""Skeleton layouts: the one place that says which joints exist and how they hang together.

Graph edges (:mod:`mmdualhead.models.graph`), bone vectors, mirroring and normalization all derive from a
:class:`Skeleton`. Joint indices are 0-based. V is the number of joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A joint layout.

    Args:
        name: what configs and error messages call the layout.
        joints: joint names, in the order of the recordings.
        bones: ``(child, parent)`` for every joint but the root; together they form a tree. The bone
            vector of a joint is the joint minus its parent; the root's is zero.
        center: the joint that normalization moves to the origin. Defaults to the root of the bones.
        pairs: ``(left, right)`` joints that change places when a clip is mirrored.
        up: ``(from, to)`` joints whose direction becomes the z axis, e.g. hip to spine; None for
            layouts without depth.
        across: ``(right, left)`` joints, e.g. the shoulders; from left to right becomes the x axis.
        edges: graph edges, where the field's graph is not the tree of bones. Defaults to the bones.
        flat: joints lie in a picture, and a third coordinate is a confidence.
        meaning: anatomical names of joints that the field calls otherwise, for :func:`convert_layout`:
            ``{'neck': 'shoulder center'}`` where the neck is the point between the shoulders.

    Raises:
        ValueError: a joint index is out of range, the bones are no tree, or a joint has two mirror images.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[Pair, ...]
    center: int | None = None
    pairs: tuple[Pair, ...] = ()
    up: Pair | None = None
    across: Pair | None = None
    edges: tuple[Pair, ...] = field(default=())
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

    def _check_indices(self) -> None:
        named: dict[str, tuple[tuple[int, ...], ...]]
        named = {'bones': self.bones, 'pairs': self.pairs, 'edges': self.edges}
        named |= {'up': (self.up,) if self.up else (), 'across': (self.across,) if self.across else ()}
        named |= {'center': () if self.center is None else ((self.center,),)}
        for what, tuples in named.items():
            wrong = [t for t in tuples if not all(0 <= j < self.num_joints for j in t)]
            if wrong:
                raise ValueError(
                    f'skeleton {self.name!r}: {what} {wrong} name joints outside 0..{self.num_joints - 1}'
                )
        mirrored = [joint for pair in self.pairs for joint in pair]
        if len(set(mirrored)) < len(mirrored):
            raise ValueError(f'skeleton {self.name!r}: pairs {list(self.pairs)} name a joint twice')

    def _find_root(self) -> int:
        """The one joint without a parent, after checking that every other joint leads to it."""
        children = [child for child, _ in self.bones]
        roots = sorted(set(range(self.num_joints)) - set(children))
        if len(roots) != 1 or len(set(children)) < len(children):
            raise ValueError(
                f'skeleton {self.name!r}: every joint but one needs exactly one parent in bones; '
                f'joints without a parent: {roots}, bones: {list(self.bones)}'
            )
        parents = self.parents
        for joint in range(self.num_joints):
            seen = joint
            for _ in range(self.num_joints):
                seen = parents[seen]
            if seen != roots[0]:
                raise ValueError(f'skeleton {self.name!r}: bones form a cycle at joint {joint}')
        return roots[0]


def get_skeleton(layout: str | Mapping[str, Any] | Skeleton) -> Skeleton:
    """Look a layout up.

    Args:
        layout: the name of a layout in :data:`SKELETONS` or :data:`ALIASES`, a user's own definition (the
            arguments of :class:`Skeleton` as a dict; ``joints`` may be a mere count and ``name`` left out),
            or a :class:`Skeleton`, which is returned as it is.

    Returns:
        The skeleton.

    Raises:
        ValueError: the name is unknown, or the definition contradicts itself.
        TypeError: the definition has an unknown or lacks a necessary field.
    """
    if isinstance(layout, Skeleton):
        return layout
    if isinstance(layout, str):
        known = ALIASES.get(layout, layout)
        if known not in SKELETONS:
            raise ValueError(f'unknown skeleton layout {layout!r}; known: {sorted([*SKELETONS, *ALIASES])}')
        return SKELETONS[known]
    fields = {'name': 'custom', **{key: _as_tuple(value) for key, value in layout.items()}}
    if isinstance(fields.get('joints'), int):
        fields['joints'] = tuple(f'joint {i}' for i in range(fields['joints']))
    return Skeleton(**fields)


def _as_tuple(value: Any) -> Any:
    """Lists out of a config, nested ones too, as the tuples that a frozen skeleton holds."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_as_tuple(item) for item in value)
    return value


def _one_based(*bones: Pair) -> tuple[Pair, ...]:
    return tuple((child - 1, parent - 1) for child, parent in bones)


NTU = Skeleton(
    name='nturgb+d',
    joints=(
        *('spine base', 'spine mid', 'neck', 'head'),
        *('left shoulder', 'left elbow', 'left wrist', 'left hand'),
        *('right shoulder', 'right elbow', 'right wrist', 'right hand'),
        *('left hip', 'left knee', 'left ankle', 'left foot'),
        *('right hip', 'right knee', 'right ankle', 'right foot'),
        *('spine shoulder', 'left hand tip', 'left thumb', 'right hand tip', 'right thumb'),
    ),
    # As the authors: the hand tips hang on the thumbs, the thumbs on the hands (MMAction2's graph differs).
    bones=_one_based(
        *((1, 2), (2, 21), (3, 21), (4, 3)),
        *((5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11)),
        *((13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19)),
        *((22, 23), (23, 8), (24, 25), (25, 12)),
    ),
    center=1,
    pairs=(
        *((4, 8), (5, 9), (6, 10), (7, 11), (21, 23), (22, 24)),
        *((12, 16), (13, 17), (14, 18), (15, 19)),
    ),
    up=(0, 1),
    across=(8, 4),
    meaning={'spine base': 'pelvis', 'spine mid': 'spine', 'spine shoulder': 'shoulder center'},
)

KINECT_V1 = Skeleton(
    name='kinect_v1',
    joints=(
        *('hip center', 'spine', 'shoulder center', 'head'),
        *('left shoulder', 'left elbow', 'left wrist', 'left hand'),
        *('right shoulder', 'right elbow', 'right wrist', 'right hand'),
        *('left hip', 'left knee', 'left ankle', 'left foot'),
        *('right hip', 'right knee', 'right ankle', 'right foot'),
    ),
    bones=(
        *((0, 1), (1, 2), (3, 2)),
        *((4, 2), (5, 4), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 10)),
        *((12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18)),
    ),
    center=1,
    pairs=((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19)),
    up=(0, 1),
    across=(8, 4),
    meaning={'hip center': 'pelvis'},
)

OPENPOSE = Skeleton(
    name='openpose',
    joints=(
        *('nose', 'neck', 'right shoulder', 'right elbow', 'right wrist'),
        *('left shoulder', 'left elbow', 'left wrist'),
        *('right hip', 'right knee', 'right ankle', 'left hip', 'left knee', 'left ankle'),
        *('right eye', 'left eye', 'right ear', 'left ear'),
    ),
    bones=(
        *((1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6)),
        *((8, 2), (9, 8), (10, 9), (11, 5), (12, 11), (13, 12)),
        *((14, 0), (15, 0), (16, 14), (17, 15)),
    ),
    center=1,
    pairs=((5, 2), (6, 3), (7, 4), (11, 8), (12, 9), (13, 10), (15, 14), (17, 16)),
    flat=True,
    meaning={'neck': 'shoulder center'},
)

COCO = Skeleton(
    name='coco',
    joints=(
        *('nose', 'left eye', 'right eye', 'left ear', 'right ear', 'left shoulder', 'right shoulder'),
        *('left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hip', 'right hip'),
        *('left knee', 'right knee', 'left ankle', 'right ankle'),
    ),
    bones=(
        *((1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8)),
        *((11, 0), (12, 0), (13, 11), (14, 12), (15, 13), (16, 14)),
    ),
    pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    # In the field's graph the hips hang on the shoulders, while the hips' bone vectors start at the nose.
    edges=(
        *((1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8)),
        *((11, 5), (12, 6), (13, 11), (14, 12), (15, 13), (16, 14)),
    ),
    flat=True,
)


def _from_parents(
    name: str, parents: Mapping[str, str | None], across: tuple[str, str] | None = None, **more: Any
) -> Skeleton:
    """A layout from the parent of every joint, by names; left and right pairs follow from the names.

    Args:
        name: of the layout.
        parents: the parent of each joint, None for the root, in the order of the recordings.
        across: the right and the left joint of ``Skeleton.across``.
        more: further fields; ``center``, and ``up`` as (from, to), by names.
    """
    index = {joint: i for i, joint in enumerate(parents)}
    named: dict[str, Any] = {key: index[more.pop(key)] for key in ('center',) if key in more}
    for key, pair in (('up', more.pop('up', None)), ('across', across)):
        named |= {key: (index[pair[0]], index[pair[1]])} if pair else {}
    return Skeleton(
        name=name,
        joints=tuple(parents),
        bones=tuple((index[joint], index[parent]) for joint, parent in parents.items() if parent),
        pairs=tuple(
            (i, index[joint.replace('left', 'right')]) for joint, i in index.items() if 'left' in joint
        ),
        **named,
        **more,
    )


def _sided(side: str, parents: Mapping[str, str]) -> dict[str, str]:
    """One side's joints with their parents; ``*`` stands for the side."""
    return {joint.replace('*', side): parent.replace('*', side) for joint, parent in parents.items()}


_SHOULDERS = ('right shoulder', 'left shoulder')
_AZURE_ARM = {
    '* clavicle': 'spine chest',
    '* shoulder': '* clavicle',
    '* elbow': '* shoulder',
    '* wrist': '* elbow',
    '* hand': '* wrist',
    '* hand tip': '* hand',
    '* thumb': '* wrist',
}
_AZURE_LEG = {'* hip': 'pelvis', '* knee': '* hip', '* ankle': '* knee', '* foot': '* ankle'}

KINECT_AZURE = _from_parents(
    'kinect_azure',
    {
        **{'pelvis': None, 'spine navel': 'pelvis', 'spine chest': 'spine navel', 'neck': 'spine chest'},
        **_sided('left', _AZURE_ARM),
        **_sided('right', _AZURE_ARM),
        **_sided('left', _AZURE_LEG),
        **_sided('right', _AZURE_LEG),
        **{'head': 'neck', 'nose': 'head', 'left eye': 'head', 'left ear': 'head'},
        **{'right eye': 'head', 'right ear': 'head'},
    },
    center='spine navel',
    up=('pelvis', 'spine navel'),
    across=_SHOULDERS,
    meaning={'spine navel': 'spine', 'spine chest': 'chest'},
)

OPENPOSE_25 = _from_parents(
    'openpose_25',
    {
        **{'nose': 'neck', 'neck': 'mid hip'},
        **{'right shoulder': 'neck', 'right elbow': 'right shoulder', 'right wrist': 'right elbow'},
        **{'left shoulder': 'neck', 'left elbow': 'left shoulder', 'left wrist': 'left elbow'},
        'mid hip': None,
        **{'right hip': 'mid hip', 'right knee': 'right hip', 'right ankle': 'right knee'},
        **{'left hip': 'mid hip', 'left knee': 'left hip', 'left ankle': 'left knee'},
        **{'right eye': 'nose', 'left eye': 'nose', 'right ear': 'right eye', 'left ear': 'left eye'},
        **{'left big toe': 'left ankle', 'left small toe': 'left big toe', 'left heel': 'left ankle'},
        **{'right big toe': 'right ankle', 'right small toe': 'right big toe', 'right heel': 'right ankle'},
    },
    center='neck',
    flat=True,
    meaning={'neck': 'shoulder center', 'mid hip': 'pelvis'},
)

HALPE = _from_parents(
    'halpe_26',
    {
        **{'nose': 'head', 'left eye': 'nose', 'right eye': 'nose'},
        **{'left ear': 'left eye', 'right ear': 'right eye'},
        **{'left shoulder': 'neck', 'right shoulder': 'neck', 'left elbow': 'left shoulder'},
        **{'right elbow': 'right shoulder', 'left wrist': 'left elbow', 'right wrist': 'right elbow'},
        **{'left hip': 'hip', 'right hip': 'hip', 'left knee': 'left hip', 'right knee': 'right hip'},
        **{'left ankle': 'left knee', 'right ankle': 'right knee'},
        **{'head': 'neck', 'neck': 'hip', 'hip': None},
        **{'left big toe': 'left ankle', 'right big toe': 'right ankle'},
        **{'left small toe': 'left big toe', 'right small toe': 'right big toe'},
        **{'left heel': 'left ankle', 'right heel': 'right ankle'},
    },
    center='neck',
    flat=True,
    meaning={'head': 'head top', 'neck': 'shoulder center', 'hip': 'pelvis'},
)

MEDIAPIPE = _from_parents(
    'mediapipe',
    {
        'nose': None,
        **{'left eye inner': 'nose', 'left eye': 'left eye inner', 'left eye outer': 'left eye'},
        **{'right eye inner': 'nose', 'right eye': 'right eye inner', 'right eye outer': 'right eye'},
        **{'left ear': 'left eye outer', 'right ear': 'right eye outer'},
        **{'left mouth': 'nose', 'right mouth': 'nose', 'left shoulder': 'nose', 'right shoulder': 'nose'},
        **{'left elbow': 'left shoulder', 'right elbow': 'right shoulder'},
        **{'left wrist': 'left elbow', 'right wrist': 'right elbow'},
        **{'left pinky': 'left wrist', 'right pinky': 'right wrist'},
        **{'left index': 'left wrist', 'right index': 'right wrist'},
        **{'left thumb': 'left wrist', 'right thumb': 'right wrist'},
        **{'left hip': 'left shoulder', 'right hip': 'right shoulder'},
        **{'left knee': 'left hip', 'right knee': 'right hip'},
        **{'left ankle': 'left knee', 'right ankle': 'right knee'},
        **{'left heel': 'left ankle', 'right heel': 'right ankle'},
        **{'left foot index': 'left ankle', 'right foot index': 'right ankle'},
    },
    across=_SHOULDERS,
)

HUMAN36M = _from_parents(
    'h36m',
    {
        **{'pelvis': None, 'right hip': 'pelvis', 'right knee': 'right hip', 'right ankle': 'right knee'},
        **{'left hip': 'pelvis', 'left knee': 'left hip', 'left ankle': 'left knee'},
        **{'spine': 'pelvis', 'thorax': 'spine', 'neck': 'thorax', 'head': 'neck'},
        **{'left shoulder': 'thorax', 'left elbow': 'left shoulder', 'left wrist': 'left elbow'},
        **{'right shoulder': 'thorax', 'right elbow': 'right shoulder', 'right wrist': 'right elbow'},
    },
    center='spine',
    up=('pelvis', 'spine'),
    across=_SHOULDERS,
    meaning={'thorax': 'shoulder center', 'head': 'head top'},
)

SMPL = _from_parents(
    'smpl',
    {
        **{'pelvis': None, 'left hip': 'pelvis', 'right hip': 'pelvis', 'spine 1': 'pelvis'},
        **{'left knee': 'left hip', 'right knee': 'right hip', 'spine 2': 'spine 1'},
        **{'left ankle': 'left knee', 'right ankle': 'right knee', 'spine 3': 'spine 2'},
        **{'left foot': 'left ankle', 'right foot': 'right ankle', 'neck': 'spine 3'},
        **{'left collar': 'spine 3', 'right collar': 'spine 3', 'head': 'neck'},
        **{'left shoulder': 'left collar', 'right shoulder': 'right collar'},
        **{'left elbow': 'left shoulder', 'right elbow': 'right shoulder'},
        **{'left wrist': 'left elbow', 'right wrist': 'right elbow'},
        **{'left hand': 'left wrist', 'right hand': 'right wrist'},
    },
    center='spine 2',
    up=('pelvis', 'spine 2'),
    across=_SHOULDERS,
    meaning={
        **{'spine 1': 'lumbar spine', 'spine 2': 'spine', 'spine 3': 'chest'},
        **{'left collar': 'left clavicle', 'right collar': 'right clavicle'},
    },
)

_ALL = (NTU, KINECT_V1, KINECT_AZURE, OPENPOSE, OPENPOSE_25, COCO, HALPE, MEDIAPIPE, HUMAN36M, SMPL)
SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in _ALL}

ALIASES = {'kinect_v2': 'nturgb+d', 'coco_wholebody_body': 'coco'}
"""Other names; of COCO-WholeBody's 133 keypoints the first 17, the body, are those of COCO."""


# Where a joint lies, between which others, for layouts that lack it; the first that can be had counts. One
# joint for another is near enough: the toes are where the Kinect sees the foot.
_SIDES = ('left', 'right')
BETWEEN: dict[str, tuple[tuple[str, ...], ...]] = {
    'pelvis': (('left hip', 'right hip'),),
    'shoulder center': (('left shoulder', 'right shoulder'),),
    'spine': (('pelvis', 'shoulder center'),),
    'lumbar spine': (('pelvis', 'spine'),),
    'chest': (('spine', 'shoulder center'),),
    'head': (('left ear', 'right ear'), ('neck', 'head top')),
    'neck': (('shoulder center', 'head'),),
    **{f'{side} clavicle': (('shoulder center', f'{side} shoulder'),) for side in _SIDES},
    **{f'{side} hand': ((f'{side} wrist', f'{side} index', f'{side} pinky'),) for side in _SIDES},
    **{f'{side} hand tip': ((f'{side} index', f'{side} pinky'),) for side in _SIDES},
    **{
        f'{side} foot': ((f'{side} big toe', f'{side} small toe'), (f'{side} foot index',)) for side in _SIDES
    },
}


def convert_layout(
    keypoints: np.ndarray,
    source: str | Mapping[str, Any] | Skeleton,
    target: str | Mapping[str, Any] | Skeleton,
) -> np.ndarray:
    """Bring recordings from one layout into another, joint by joint.

    A joint of the same name is taken as it is, where the layouts mean the same by it; one that the source
    lacks and that lies between others (:data:`BETWEEN`) is their mean. It is missing (zero) where one of
    these is, all of whose coordinates are then zero.

    Args:
        keypoints: (..., V, C) in the layout ``source``, whose last axis may include a confidence.
        source: what the joints are, see :func:`get_skeleton`.
        target: what they are to become.

    Returns:
        (..., V', C) in the layout ``target``; a float type stays as it is, integers become float32.

    Raises:
        ValueError: there are not V joints, or joints of the target can't be had from the source; names them.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    keypoints = np.asarray(keypoints)
    if keypoints.ndim < 2 or keypoints.shape[-2] != source.num_joints:
        raise ValueError(
            f'keypoints of shape {keypoints.shape}: layout {source.name!r} needs '
            f'(..., {source.num_joints}, C)'
        )
    weights, lacking = conversion(source, target)
    if lacking:
        raise ValueError(
            f'layout {source.name!r} can not become {target.name!r}: it has nothing for {", ".join(lacking)}'
        )
    if keypoints.dtype.kind != 'f':
        keypoints = keypoints.astype(np.float32)
    converted = np.einsum('uv,...vc->...uc', weights.astype(keypoints.dtype), keypoints)
    missing = np.logical_not(np.any(keypoints, axis=-1))
    if missing.any():
        converted[(missing[..., None, :] & (weights > 0)).any(-1)] = 0
    return converted


def conversion(source: Skeleton, target: Skeleton) -> tuple[np.ndarray, list[str]]:
    """What each joint of a layout is the mean of in another.

    Returns:
        (V', V) weights, whose rows sum to 1, and the names of the joints that can't be had, whose rows are 0.
    """
    known = {
        source.meaning.get(joint, joint): row
        for joint, row in zip(source.joints, np.eye(source.num_joints), strict=True)
    }
    rows = [_find(target.meaning.get(joint, joint), known) for joint in target.joints]
    lacking = [joint for joint, row in zip(target.joints, rows, strict=True) if row is None]
    return np.array([np.zeros(source.num_joints) if row is None else row for row in rows]), lacking


def _find(joint: str, known: Mapping[str, np.ndarray], above: tuple[str, ...] = ()) -> np.ndarray | None:
    """The weights of a joint by its anatomical name; ``above`` are those that are being sought."""
    if joint in known:
        return known[joint]
    if joint in above:
        return None
    for others in BETWEEN.get(joint, ()):
        rows = [_find(other, known, (*above, joint)) for other in others]
        found = [row for row in rows if row is not None]
        if len(found) == len(rows):
            return np.mean(found, axis=0)
    return None

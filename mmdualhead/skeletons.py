"""Skeleton layouts: the one place that says which joints exist and how they hang together.

Graph edges (:mod:`mmdualhead.models.graph`), bone vectors, mirroring and normalization all derive from a
:class:`Skeleton`. Joint indices are 0-based. V is the number of joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        layout: the name of a layout in :data:`SKELETONS`, a user's own definition (the arguments of
            :class:`Skeleton` as a dict; ``joints`` may be a mere count and ``name`` left out), or a
            :class:`Skeleton`, which is returned as it is.

    Returns:
        The skeleton.

    Raises:
        ValueError: the name is unknown, or the definition contradicts itself.
        TypeError: the definition has an unknown or lacks a necessary field.
    """
    if isinstance(layout, Skeleton):
        return layout
    if isinstance(layout, str):
        if layout not in SKELETONS:
            raise ValueError(f'unknown skeleton layout {layout!r}; known: {sorted(SKELETONS)}')
        return SKELETONS[layout]
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
)

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (NTU, KINECT_V1, OPENPOSE, COCO)}

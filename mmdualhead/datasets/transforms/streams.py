"""The four input streams: joints, bones, and the motion of each.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from mmdualhead.skeletons import Skeleton, get_skeleton

STREAMS = {'j': 'joint', 'b': 'bone', 'jm': 'joint motion', 'bm': 'bone motion'}


def parse_stream(stream: str) -> tuple[str, ...]:
    """Split a stream's name, e.g. ``'j+b'``, into its parts.

    Raises:
        ValueError: a part is none of j, b, jm, bm, or stands there twice.
    """
    parts = tuple(stream.split('+')) if isinstance(stream, str) else ()
    if not parts or len(set(parts)) < len(parts) or not set(parts) <= set(STREAMS):
        known = ', '.join(f'{key!r} ({name})' for key, name in STREAMS.items())
        raise ValueError(f"unknown stream {stream!r}; known: {known}, or several joined, e.g. 'j+b'")
    return parts


def bone_vectors(keypoint: np.ndarray, skeleton: Skeleton, scored: bool = False) -> np.ndarray:
    """``b_v = x_v - x_parent(v)``, zero for the root.

    Args:
        keypoint: (M, T, V, C).
        skeleton: the layout, which says what every joint hangs on.
        scored: the last channel is a confidence; it becomes the mean of the two joints' instead.

    Returns:
        (M, T, V, C) float32.
    """
    parent = keypoint.take(skeleton.parents, axis=2)
    bone = (keypoint - parent).astype(np.float32, copy=False)
    if scored:
        bone[..., -1] = (keypoint[..., -1] + parent[..., -1]) / 2
    return bone


def motion(keypoint: np.ndarray, scored: bool = False) -> np.ndarray:
    """``m_t = x_(t+1) - x_t``, zero in the last frame.

    Args:
        keypoint: (M, T, V, C).
        scored: the last channel is a confidence; it becomes the mean of the two frames' instead.

    Returns:
        (M, T, V, C) in the type of ``keypoint``.
    """
    moved = np.zeros_like(keypoint)
    np.subtract(keypoint[:, 1:], keypoint[:, :-1], out=moved[:, :-1])
    if scored:
        moved[:, :-1, :, -1] = (keypoint[:, :-1, :, -1] + keypoint[:, 1:, :, -1]) / 2
    return moved


def make_streams(
    keypoint: np.ndarray, skeleton: Skeleton, parts: tuple[str, ...], scored: bool = False
) -> np.ndarray:
    """The streams named in ``parts`` from joints (M, T, V, C), concatenated over channels."""
    bone = bone_vectors(keypoint, skeleton, scored) if {'b', 'bm'} & set(parts) else None
    make = {
        'j': lambda: keypoint,
        'b': lambda: bone,
        'jm': lambda: motion(keypoint, scored),
        'bm': lambda: motion(bone, scored),
    }
    made = [make[part]() for part in parts]
    return made[0] if len(made) == 1 else np.concatenate(made, axis=-1)


@TRANSFORMS.register_module()
class SkeletonStream(BaseTransform):
    """Turn joints into the stream that the network is trained on.

    Equal to MMAction2's ``GenSkeFeat`` where that knows the layout, which here may be any. A
    ``keypoint_score`` becomes the last channel and is averaged, not subtracted; so is the third channel of
    a layout that is flat.

    Required keys: keypoint, (keypoint_score). Modified: keypoint. Removed: keypoint_score. Added:
    joints, the keypoints before this step.

    Args:
        layout: name or definition of the skeleton, see :func:`mmdualhead.skeletons.get_skeleton`.
        stream: j, b, jm, bm or several joined by ``+``.

    Raises:
        ValueError: the stream is unknown; or, at use, the clip has another number of joints than the layout.
    """

    def __init__(self, layout: str | Mapping[str, Any] = 'nturgb+d', *, stream: str) -> None:
        self.skeleton = get_skeleton(layout)
        self.stream = stream
        self.parts = parse_stream(stream)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        if keypoint.shape[2] != self.skeleton.num_joints:
            raise ValueError(
                f'clip {results.get("frame_dir")!r}: keypoint has {keypoint.shape[2]} joints, layout '
                f'{self.skeleton.name!r} {self.skeleton.num_joints}'
            )
        results['joints'] = keypoint
        scored = self.skeleton.flat and keypoint.shape[-1] == 3
        if 'keypoint_score' in results:
            keypoint = np.concatenate([keypoint, results.pop('keypoint_score')[..., None]], -1)
            scored = True
        results['keypoint'] = make_streams(keypoint, self.skeleton, self.parts, scored)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(layout={self.skeleton.name!r}, stream={self.stream!r})'

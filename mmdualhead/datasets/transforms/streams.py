"""Input streams: joints, bones, the motion of each, and custom ones.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error
from mmdualhead.errors import UserError
from mmdualhead.network_input import Share
from mmdualhead.skeletons import Skeleton, get_skeleton

Form = Callable[[np.ndarray, Skeleton, bool], np.ndarray]


class Stream(NamedTuple):
    """A stream formed from joints.

    Attributes:
        title: its display name.
        form: ``form(keypoint, skeleton, scored)`` returns the stream (M, T, V, C') of joints (M, T, V, C),
            which it must not change; the last channel is a confidence if ``scored``.
    """

    title: str
    form: Form


STREAMS: dict[str, Stream] = {}
"""The streams by their short names."""


def register_stream(name: str, title: str) -> Callable[[Form], Form]:
    """Make a function a stream that ``SkeletonStream(stream=name)`` forms, see :class:`Stream`::

        @register_stream('ja', 'joint acceleration')
        def joint_acceleration(keypoint, skeleton, scored): ...

    Raises:
        ValueError: the name is taken, or has a ``+``, which joins streams.
    """
    if name in STREAMS or '+' in name:
        raise UserError(f'stream {name!r}: the name is taken or has a +; taken are {sorted(STREAMS)}')

    def register(form: Form) -> Form:
        STREAMS[name] = Stream(title, form)
        return form

    return register


def parse_stream(stream: str) -> tuple[str, ...]:
    """Split a stream's name, e.g. ``'j+b'``, into its parts.

    Raises:
        ValueError: a part is not a registered stream or occurs twice.
    """
    parts = tuple(stream.split('+')) if isinstance(stream, str) else ()
    if not parts or len(set(parts)) < len(parts) or not set(parts) <= set(STREAMS):
        known = ', '.join(f'{key!r} ({name})' for key, (name, _) in STREAMS.items())
        raise UserError(f"unknown stream {stream!r}; known: {known}, or several joined, e.g. 'j+b'")
    return parts


def bone_vectors(keypoint: np.ndarray, skeleton: Skeleton, scored: bool = False) -> np.ndarray:
    """``b_v = x_v - x_parent(v)``, zero for the root.

    Args:
        keypoint: (M, T, V, C).
        skeleton: the layout, which defines the parent of every joint.
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


register_stream('j', 'joint')(lambda keypoint, skeleton, scored: keypoint)  # noqa: ARG005
register_stream('b', 'bone')(bone_vectors)
register_stream('jm', 'joint motion')(lambda keypoint, skeleton, scored: motion(keypoint, scored))  # noqa: ARG005
register_stream('bm', 'bone motion')(
    lambda keypoint, skeleton, scored: motion(bone_vectors(keypoint, skeleton, scored), scored)
)


@TRANSFORMS.register_module()
class SkeletonStream(Step):
    """Convert joints to the stream that the network is trained on.

    Equal to MMAction2's ``GenSkeFeat`` where that supports the layout; here, any layout works. A
    ``keypoint_score`` becomes the last channel and is averaged, not subtracted; so is the third channel of a
    flat layout.

    Required keys: keypoint, (keypoint_score). Modified: keypoint. Removed: keypoint_score. Added:
    joints, the coordinates before this step.

    Args:
        layout: name or definition of the skeleton, see :func:`mmdualhead.skeletons.get_skeleton`.
        stream: j, b, jm, bm, one of :func:`register_stream`, or several joined by ``+``.

    Raises:
        ValueError: the stream is unknown; or, at use, the clip does not have the layout's number of joints,
            or a stream drops persons, frames or joints.
    """

    @staticmethod
    def network_input(layout: Any = 'nturgb+d', *, stream: str) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(skeleton=get_skeleton(layout), stream=stream)

    def __init__(self, layout: str | Mapping[str, Any] = 'nturgb+d', *, stream: str) -> None:
        self.skeleton = get_skeleton(layout)
        self.stream = stream
        self.parts = parse_stream(stream)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        if keypoint.shape[2] != self.skeleton.num_joints:
            layout = f'layout {self.skeleton.name!r} {self.skeleton.num_joints}'
            raise clip_error(results, f'keypoint has {keypoint.shape[2]} joints, {layout}')
        scored = self.skeleton.flat and keypoint.shape[-1] == 3
        results['joints'] = keypoint[..., :2] if scored else keypoint
        if 'keypoint_score' in results:
            keypoint = np.concatenate([keypoint, results.pop('keypoint_score')[..., None]], -1)
            scored = True
        samples = by_sample(keypoint, results)
        made = [STREAMS[part].form(samples, self.skeleton, scored) for part in self.parts]
        for part, stream in zip(self.parts, made, strict=True):
            if np.shape(stream)[:-1] != samples.shape[:-1]:
                raise clip_error(
                    results, f'stream {part!r} returns shape {np.shape(stream)} for {samples.shape}'
                )
        formed = made[0] if len(made) == 1 else np.concatenate(made, axis=-1)
        results['keypoint'] = formed.reshape(*keypoint.shape[:-1], -1)
        return results


def by_sample(keypoint: np.ndarray, results: Mapping[str, Any]) -> np.ndarray:
    """A clip with each of the samples drawn from it as a person: motion ends with its sample."""
    persons, frames, *joints = keypoint.shape
    samples = results.get('num_clips', 1)
    if samples == 1 or frames != samples * results.get('clip_len', 0):
        return keypoint  # of MMAction2's samples the frames are drawn, but not yet taken
    return keypoint.reshape(persons * samples, frames // samples, *joints)

"""Partial results on disk, so that an interrupted conversion goes on where it stopped.

A shard holds the clips of some raw files: ``KEY.bin`` with all their float32 numbers one after the other, and
``KEY.json`` with the rest. KEY is a hash of the files' names, sizes and times and of how they are read, so
a shard is used again exactly as long as it would come out the same. The JSON file is written last, and all
shards are cleared in any order once the result is there: a shard is done when both are there.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.plausibility import judge_posture, picture_fault
from mmdualhead.skeletons import Skeleton, get_skeleton
from mmdualhead.utils.files import atomic_write, check_regular

from .recording import Clip, EmptyRecording, MalformedRecording, Recording

Normalize = Callable[[np.ndarray], np.ndarray]

FORMAT = 4

# Every shard that is mapped costs a file descriptor, of which systems allow 256 to 1,024.
MOST_SHARDS = 200
FEWEST_CLIPS = 16


FIELDS = ('frame_dir', 'label', 'subject', 'img_shape')
"""The fields of annotations that an index has as they are."""


class Shard(NamedTuple):
    """Some of the recordings, and where their clips are kept until all are there.

    Args:
        stem: path of the shard's files without their suffix.
        recordings: what it holds.
    """

    stem: Path
    recordings: Sequence[Recording]

    @property
    def is_done(self) -> bool:
        """Whether an earlier run (or this one) finished it, and all of it is still there."""
        return all(self.stem.with_suffix(suffix).exists() for suffix in ('.bin', '.json'))

    def save(self, keypoints: Sequence[np.ndarray], index: dict[str, Any]) -> None:
        """Keep the clips' numbers and everything else about them.

        Args:
            keypoints: (M, T, V, C) float32 each.
            index: plain data; its ``clips`` have a ``shape`` each, in the order of the keypoints.
        """
        with atomic_write(self.stem.with_suffix('.bin')) as file:
            for keypoint in keypoints:
                file.write(np.ascontiguousarray(keypoint, np.float32).data)
        with atomic_write(self.stem.with_suffix('.json')) as file:
            file.write(json.dumps(index).encode())

    def load_index(self) -> dict[str, Any]:
        """What :meth:`save` was given as index."""
        return json.loads(self.stem.with_suffix('.json').read_bytes())

    def annotations(self) -> Iterator[dict[str, Any]]:
        """The clips as annotations; keypoints are mapped: only what is looked at comes into memory."""
        clips = self.load_index()['clips']
        if not clips:
            return
        flat = np.asarray(np.memmap(self.stem.with_suffix('.bin'), np.float32, 'c'))
        ends = np.cumsum([np.prod(clip['shape']) for clip in clips])
        for clip, numbers in zip(clips, np.split(flat, ends[:-1]), strict=True):
            known = {key: clip[key] for key in FIELDS if clip[key] is not None}
            keypoint = numbers.reshape(clip['shape'])
            if clip['scored']:
                keypoint, known['keypoint_score'] = keypoint[..., :-1], keypoint[..., -1]
            yield dict(known, total_frames=keypoint.shape[1], keypoint=keypoint)


def plan_shards(
    directory: Path, recordings: Sequence[Recording], steps: Sequence[Callable[..., Any] | None]
) -> list[Shard]:
    """Divide the recordings into shards.

    Args:
        directory: where the shards are kept.
        recordings: all of them, in order.
        steps: what makes clips of them; shards made in another way are not used again.

    Returns:
        The shards, in order.
    """
    how = [FORMAT, [_describe(step) for step in steps]]
    size = max(FEWEST_CLIPS, -(-len(recordings) // MOST_SHARDS))
    shards = []
    for start in range(0, len(recordings), size):
        group = recordings[start : start + size]
        content = json.dumps([*how, [_state(recording) for recording in group]])
        shards.append(Shard(directory / hashlib.sha256(content.encode()).hexdigest()[:24], group))
    return shards


def _state(recording: Recording) -> list[Any]:
    try:
        stat = recording.path.stat()
    except OSError:  # the runner says so when it reads
        return [recording.name]
    told = [recording.name, recording.label, recording.subject, recording.img_shape, str(recording.path)]
    return [*told, stat.st_size, stat.st_mtime_ns]


def _describe(step: Callable[..., Any] | None) -> str:
    if isinstance(step, partial):
        return f'{_describe(step.func)} {step.args} {sorted(step.keywords.items())}'
    return f'{step.__module__}.{step.__qualname__}' if step else 'none'


def convert_shard(shard: Shard, read: Callable, normalize: Normalize | None, layout: Any) -> int:
    """Read the raw files of one shard and save it; malformed ones are noted in its index.

    Returns:
        The number of raw files.
    """
    skeleton = get_skeleton(layout)
    arrays, clips, faults = [], [], []
    for recording in shard.recordings:
        try:
            clip = _read(read, recording)
            _check(clip, skeleton.num_joints)
            keypoint = clip.keypoint if normalize is None else normalize(clip.keypoint)
            array = _join(keypoint, clip.keypoint_score)
        except ValueError as error:
            empty = isinstance(error, EmptyRecording)
            faults.append(dict(name=recording.name, path=str(recording.path), empty=empty, reason=str(error)))
            continue
        arrays.append(array)
        clips.append({**_describe_clip(recording, clip, skeleton), 'shape': array.shape})
    shard.save(arrays, dict(clips=clips, faults=faults))
    return len(shard.recordings)


def _join(keypoint: np.ndarray, score: np.ndarray | None) -> np.ndarray:
    """Coordinates and scores as one array, as shards hold them."""
    joined = keypoint if score is None else np.concatenate([keypoint, score[..., None]], -1)
    return np.asarray(joined, dtype=np.float32)


def _describe_clip(recording: Recording, clip: Clip, skeleton: Skeleton) -> dict[str, Any]:
    """What an index says of a clip, but for its shape."""
    return dict(
        frame_dir=recording.name,
        label=clip.label,
        subject=recording.subject,
        img_shape=clip.img_shape,
        scored=clip.keypoint_score is not None,
        counts=clip.counts,
        posture=judge_posture(clip.keypoint, skeleton),
        picture=_judge_picture(clip, skeleton),
    )


def _judge_picture(clip: Clip, skeleton: Skeleton) -> str | None:
    """Why the joints can't be in pixels of their picture, empty if they can; None of a clip with depth."""
    if clip.keypoint.shape[-1] != 2:
        return None
    if clip.img_shape is None:
        return "the picture's size is not stated, which joints in pixels need (--img-shape HEIGHT WIDTH)"
    return picture_fault(clip.keypoint, skeleton, clip.img_shape)


def _read(read: Callable[[Recording], Clip], recording: Recording) -> Clip:
    """Read a clip; a pipe in a file's place would be waited for without end."""
    try:
        check_regular(recording.path)
    except OSError as error:
        raise MalformedRecording(str(error.strerror)) from error
    return read(recording)


def _check(clip: Clip, num_joints: int) -> None:
    """Refuse what no clip of any data set may be."""
    keypoint = clip.keypoint
    if keypoint.ndim != 4 or keypoint.shape[2] != num_joints:
        raise MalformedRecording(f'expected (M, T, {num_joints}, C), found {keypoint.shape}')
    if not keypoint.any():
        raise EmptyRecording('nobody in any frame')
    wrong = np.argwhere(~np.isfinite(keypoint))
    if len(wrong):
        person, frame, joint, _ = wrong[0]
        raise MalformedRecording(
            f'{len(wrong)} coordinates are not finite, the first of person {person}, frame {frame}, '
            f'joint {joint}'
        )
    if clip.label is None:
        raise MalformedRecording('no class label')
    if clip.keypoint_score is not None and not np.isfinite(clip.keypoint_score).all():
        raise MalformedRecording('not all scores are finite')

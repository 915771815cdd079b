"""Clips and annotation files that the tests of this folder share."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

PIPELINE = [
    dict(type='NormalizeSkeleton3D'),
    dict(type='SkeletonStream', stream='j'),
    dict(type='UniformSampleClips', clip_len=20),
    dict(type='FormatSkeletonInput', num_person=2),
    dict(type='PackActionInputs', meta_keys=('frame_dir',)),
]


def make_clip(persons: int = 1, frames: int = 30, seed: int = 0, joints: int = 25, **fields: Any) -> dict:
    """A noisy clip in meters, a few meters from the camera."""
    rng = np.random.default_rng(seed)
    body = rng.normal((0, 0, 3), 0.5, (persons, 1, joints, 3))
    keypoint = (body + rng.normal(0, 0.05, (persons, frames, joints, 3))).astype(np.float32)
    return dict(frame_dir=f'S{seed:03d}', label=seed % 4, total_frames=frames, keypoint=keypoint) | fields


def make_annotations(number: int = 12, **fields: Any) -> list[dict]:
    """Clips of one and two persons and of different lengths."""
    return [make_clip(1 + i % 2, 20 + 3 * i, seed=i, **fields) for i in range(number)]


def make_data(annotations: list[dict] | None = None, **top: Any) -> dict:
    """An annotation file's content, with every second clip in ``train``."""
    annotations = make_annotations() if annotations is None else annotations
    names = [clip.get('frame_dir', 'nameless') for clip in annotations]
    return dict(split=dict(train=names[::2], val=names[1::2]), annotations=annotations) | top


def save(folder: Path, data: Any) -> str:
    """Pickle the content of an annotation file."""
    path = folder / 'data.pkl'
    path.write_bytes(pickle.dumps(data))
    return str(path)

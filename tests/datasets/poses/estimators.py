"""What estimators write, made from joints by a formula."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.skeletons import SKELETONS

PICTURE = (480, 640)


def walk(layout: str, frames: int = 6, persons: int = 1) -> np.ndarray:
    """(M, T, V, 2) pixels with one decimal: persons apart from each other, who walk to the right."""
    body = np.random.default_rng(len(layout)).uniform((10, 10), (60, 190), (SKELETONS[layout].num_joints, 2))
    place = np.arange(persons)[:, None, None, None] * (150, 0) + np.arange(frames)[:, None, None] * (2, 0)
    return (body + place + 50).round(1)


def in_space(joints: int, frames: int = 6) -> np.ndarray:
    """(T, V, 3) meters: x right, y down, z ahead; the last two are the hips of MediaPipe's."""
    rng = np.random.default_rng(joints)
    body = rng.uniform((-0.4, -0.9, -0.2), (0.4, 0.9, 0.2), (joints, 3)).round(3)
    if joints == 33:
        body[24] = -body[23]
    return body + np.arange(frames)[:, None, None] * (0, 0, 0.01)


def scored(xy: np.ndarray, score: float = 0.75) -> list[float]:
    """x, y, score of each joint."""
    return np.concatenate([xy, np.full((len(xy), 1), score)], 1).ravel().tolist()


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_openpose(folder: Path, joints: np.ndarray, video: str = 'clip') -> Path:
    for t in range(joints.shape[1]):
        people = [
            dict(person_id=[-1], pose_keypoints_2d=scored(person[t]), face_keypoints_2d=[])
            for person in joints
            if person[t].any()
        ]
        write_json(folder / f'{video}_{t:012}_keypoints.json', dict(version=1.3, people=people))
    return folder


def alphapose(joints: np.ndarray, *, tracked: bool) -> list[dict[str, Any]]:
    return [
        dict(
            image_id=f'{t}.jpg',
            category_id=1,
            keypoints=scored(person[t]),
            score=2.5,
            box=[0, 0, 9, 9],
            idx=[m + 1.0] if tracked else [0.0],
        )
        for t in range(joints.shape[1])
        for m, person in enumerate(joints)
    ]


def instances(joints: np.ndarray, t: int) -> list[dict[str, Any]]:
    scores = [0.75] * joints.shape[2]
    return [
        dict(keypoints=person[t].tolist(), keypoint_scores=scores, bbox=[[0.0, 0.0, 9.0, 9.0]])
        for person in joints
    ]


def mmpose(joints: np.ndarray, first: int = 0) -> list[dict[str, Any]]:
    return [dict(frame_id=first + t, instances=instances(joints, t)) for t in range(joints.shape[1])]


def azure(joints: np.ndarray, rate: int = 30) -> dict[str, Any]:
    """From meters (T, V, 3)."""
    frames = [
        dict(
            frame_id=t,
            timestamp_usec=round(t * 1e6 / rate),
            num_bodies=1,
            bodies=[dict(body_id=3, joint_positions=(1000 * one).tolist())],
        )
        for t, one in enumerate(joints)
    ]
    return dict(joint_names=['PELVIS', 'SPINE_NAVAL'], bone_list=[], frames=frames)


def landmarks(joints: np.ndarray) -> list[dict[str, float]]:
    return [dict(zip('xyz', map(float, one), strict=True), visibility=0.75) for one in joints]


def write_ctrgcn(path: Path, x: np.ndarray, labels: list[int], classes: int = 60) -> Path:
    """``x`` (N, M, T, V, C)."""
    n, m, t, v, c = x.shape
    flat = x.transpose(0, 2, 1, 3, 4).reshape(n, t, m * v * c)
    one_hot = np.eye(classes)[labels]
    np.savez(path, x_train=flat, y_train=one_hot, x_test=flat[:1], y_test=one_hot[:1])
    return path


def write_agcn(folder: Path, x: np.ndarray, names: list[str], labels: list[int], part: str = 'val') -> Path:
    """``x`` (N, M, T, V, C)."""
    np.save(folder / f'{part}_data_joint.npy', x.transpose(0, 4, 2, 3, 1))
    (folder / f'{part}_label.pkl').write_bytes(pickle.dumps((names, labels)))
    return folder / f'{part}_data_joint.npy'

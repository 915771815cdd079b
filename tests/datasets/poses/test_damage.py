"""Whatever stands in an estimator's file: a clip of finite numbers, or one line."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest

from mmdualhead.datasets.poses.files import read_content

from .estimators import PICTURE, alphapose, azure, in_space, landmarks, mmpose, scored, walk

COCO, WORLD = walk('coco', 3, 2), in_space(33, 3)
CONTENTS: dict[str, Any] = {
    'OpenPose': dict(
        version=1.3, people=[dict(person_id=[-1], pose_keypoints_2d=scored(COCO[m, 0])) for m in (0, 1)]
    ),
    'AlphaPose': alphapose(COCO, tracked=True),
    'MMPose': mmpose(COCO),
    'demos': dict(meta_info=dict(dataset_name='coco'), instance_info=mmpose(COCO)),
    'Azure Kinect': azure(in_space(32, 3)),
    'MediaPipe': [dict(pose_world_landmarks=[landmarks(one)], frame=t) for t, one in enumerate(WORLD)],
    'bare': list(map(landmarks, WORLD)),
}
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 1e400, 1e300, float('nan'), 10**400, 2**70, 1.5, 'x', '', '7'),
    *([], {}, [[]], [{}], [None], {'x': 1}, {'landmark': {}}, [1, 2, 3]),
)


def damage(content: Any, rng: random.Random) -> None:
    """Replace, remove or repeat something at a random place."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = content[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.75:
            content = inner
            continue
        if rng.random() < 0.2:
            del content[key]
        elif isinstance(content, list) and rng.random() < 0.2:
            content.append(inner)
        else:
            content[key] = copy.deepcopy(rng.choice(VALUES))
        return


@pytest.mark.parametrize('name', CONTENTS)
def test_damage_is_refused_in_one_line(name: str) -> None:
    refused = []
    for seed in range(300):
        content, rng = copy.deepcopy(CONTENTS[name]), random.Random(seed)
        damage(content, rng)
        try:
            clip = read_content(content, PICTURE)
        except ValueError as error:
            refused.append(str(error))
            continue
        if clip is not None:
            assert np.isfinite(clip.keypoint).all()
            assert (
                clip.keypoint_score is None or ((clip.keypoint_score >= 0) & (clip.keypoint_score <= 1)).all()
            )
            assert clip.keypoint.shape[0] == len(clip.ids)
    assert len(refused) > 20, 'the damage hits what is read'
    assert all('\n' not in line and len(line) < 600 for line in refused)

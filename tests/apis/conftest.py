"""A trained model and recordings for it."""

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from tests.apis.trained import save_trained, small_config


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory):
    """A checkpoint of UTD-MHAD's config, joints."""
    return save_trained(tmp_path_factory.mktemp('trained') / 'epoch_1.pth', small_config())


@pytest.fixture(scope='session')
def inferencer(checkpoint):
    """Answers by it."""
    return SkeletonInferencer(checkpoint, device='cpu')


@pytest.fixture(scope='session')
def recording():
    """A function that makes a person of kinect_v1 who moves, (T, V, C), upright and in meters."""

    def make(frames=30, seed=0, joints=20):
        rng = np.random.default_rng(seed)
        person = rng.normal((0, 0, 3), 0.3, (joints, 3))
        if joints == 20:
            person[0], person[3] = (0, 0, 3), (0, 0.6, 3)
        steps = rng.normal(0, 0.02, (frames, joints, 3)).cumsum(0) / (1 + frames / 500)
        return (person + steps).astype(np.float32)

    return make

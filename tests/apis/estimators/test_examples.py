"""docs/examples/estimators.py, with stand-ins for the programs that estimate poses there."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mmdualhead.apis.estimators import ESTIMATORS, make_estimator

EXAMPLE = Path(__file__).parents[3] / 'docs' / 'examples' / 'estimators.py'
IMAGE = np.zeros((20, 30, 3), np.uint8)
IMAGE[..., 0] = 255
KEYPOINTS, SCORES = np.ones((2, 17, 2)), np.full((2, 17), 0.5)


class MMPoseInferencer:
    """MMPose's, as far as its results go."""

    def __init__(self, _model):
        pass

    def __call__(self, image):
        assert image[0, 0, 2] == 255  # BGR
        persons = [
            dict(keypoints=one.tolist(), keypoint_scores=score.tolist())
            for one, score in zip(KEYPOINTS, SCORES, strict=True)
        ]
        yield dict(predictions=[persons])


class Body:
    """rtmlib's, as far as its results go."""

    def __init__(self, mode, backend, device):
        self.options = mode, backend, device

    def __call__(self, image):
        assert image[0, 0, 2] == 255
        return KEYPOINTS, SCORES


@pytest.mark.parametrize(
    ('name', 'module', 'part'), [('MMPose', 'mmpose.apis', MMPoseInferencer), ('RTMPose', 'rtmlib', Body)]
)
def test_estimators_of_the_documentation_give_persons(monkeypatch, name, module, part):
    fake = ModuleType(module)
    setattr(fake, part.__name__, part)
    monkeypatch.setitem(sys.modules, module.partition('.')[0], ModuleType(module.partition('.')[0]))
    monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(ESTIMATORS, '_module_dict', dict(ESTIMATORS.module_dict))
    runpy.run_path(str(EXAMPLE))
    estimator = make_estimator(name)
    assert estimator.flat
    persons = estimator.estimate(IMAGE, 0.0)
    assert [person.joints.shape for person in persons] == [(17, 2), (17, 2)]
    assert (persons[0].scores == 0.5).all()

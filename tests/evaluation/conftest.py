import numpy as np
import pytest
from scipy.special import softmax

from mmdualhead.evaluation.scores import LabeledScores


@pytest.fixture
def make_scores():
    """LabeledScores of N made-up clips: random, but right more often the larger ``skill`` is."""

    def make(source='model', seed=0, clips=60, classes=6, skill=2.0, dual=False):
        labels = np.arange(clips) % classes
        rng = np.random.default_rng(seed)
        heads = {'fused': None, 'coarse': None, 'fine': None} if dual else {'fused': None}
        for head in heads:
            logits = rng.standard_normal((clips, classes)) + skill * np.eye(classes)[labels]
            heads[head] = softmax(logits, axis=1)
        names = tuple(f'clip{i:03d}' for i in range(clips))
        return LabeledScores(source=source, names=names, labels=labels, heads=heads)

    return make

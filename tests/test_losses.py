"""The configs of docs/losses.md."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle
from mmdualhead.engine.checks import check_config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'losses.md').read_text(encoding='utf-8')
LABELS = torch.tensor([0, 3, 7, 11])


@pytest.fixture(autouse=True)
def _as_in_a_run():
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """A folder with the page's configs and the quickstart's data, of which class 0 has few."""
    for name, code in re.findall(r'```python\n# (\w+\.py)\n(.*?)```', PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(code)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'quickstart_j.py').write_text("_base_ = 'configs/quickstart_j.py'\n")
    data = synthetic.generate(subjects=2, repetitions=2)
    rare = {clip['frame_dir'] for clip in data['annotations'] if clip['label'] == 0}
    for role, names in data['split'].items():
        first = next(name for name in names if name in rare)
        data['split'][role] = [name for name in names if name == first or name not in rare]
    write_pickle(tmp_path / 'data' / 'skeleton' / 'synthetic.pkl', data)
    monkeypatch.chdir(tmp_path)


def losses_of(name, **cls_head):
    """The classifier of a config, its logits for a batch, and its losses."""
    model = Config.fromfile(f'{name}.py').model
    model.cls_head.update(cls_head)
    torch.manual_seed(0)
    network = MODELS.build(model).eval()
    x = torch.randn(4, 1, 2, 8, 25, 3)
    logits = dict(zip(network.heads, network.extract_feat(x, 'head')[0], strict=True))
    samples = [ActionDataSample().set_gt_label(int(label)) for label in LABELS]
    return network.cls_head, logits, network.loss(x, samples)


def test_class_weights():
    _, logits, losses = losses_of('quickstart_weighted_j')
    weights = torch.tensor([2.0] * 6 + [1.0] * 6)
    for head, scores in logits.items():
        torch.testing.assert_close(losses[f'{head}_loss'], F.cross_entropy(scores, LABELS, weights) / 2)


def test_class_weights_with_smoothed_labels():
    _, logits, losses = losses_of('quickstart_weighted_j', label_smooth_eps=0.1)
    weights = torch.tensor([2.0] * 6 + [1.0] * 6)
    for head, scores in logits.items():
        target = 0.9 * F.one_hot(LABELS, 12) + 0.1 / 12
        expected = -(target * weights * scores.log_softmax(1)).sum() / (target * weights).sum()
        torch.testing.assert_close(losses[f'{head}_loss'], expected / 2)


def test_focal_loss():
    classifier, logits, losses = losses_of('quickstart_focal_j')
    weights = torch.tensor(classifier.loss_cls.weights).float()[LABELS, None]
    target = F.one_hot(LABELS, 12).float()
    for head, scores in logits.items():
        entropy = F.binary_cross_entropy_with_logits(scores, target, reduction='none')
        sure = torch.where(target == 1, 1 - scores.sigmoid(), scores.sigmoid())
        # MMAction2 weighs the answer "no" by 1 + e^-x to the power of -gamma, so by the sigmoid.
        expected = (weights * sure**2 * entropy).sum() / len(LABELS)
        torch.testing.assert_close(losses[f'{head}_loss'], expected / 2)


def test_rare_classes_come_more_often():
    config = Config.fromfile('quickstart_balanced_j.py')
    assert not [finding for finding in check_config(config) if finding.is_error]
    balanced = DATASETS.build(config.train_dataloader.dataset)
    before, after = (
        np.bincount([part.get_cat_ids(i)[0] for i in range(len(part))], minlength=12)
        for part in (balanced.dataset, balanced)
    )
    rare = before / before.sum() < 1 / 12
    assert rare[0]
    assert (after[rare] >= 2 * before[rare]).all()
    assert (after[~rare] == before[~rare]).all()


def test_the_page_counts_the_clips_of_each_class():
    scope = {}
    exec(re.search(r'```python\n(from collections.*?)```', PAGE, re.DOTALL)[1], scope)
    assert len(scope['samples_per_cls']) == 12
    assert sum(scope['samples_per_cls']) == len(scope['dataset'])


@pytest.mark.parametrize('name', ['msg3d', 'stgcn'])
def test_the_other_networks_take_the_same_loss(name):
    model = Config.fromfile(ROOT / 'configs' / f'{name}_utd_mhad_j.py').model
    model.cls_head.loss_cls = dict(type='CrossEntropyLoss', class_weight=[2.0] * 27)
    assert MODELS.build(model).cls_head.loss_cls.class_weight.tolist() == [2.0] * 27

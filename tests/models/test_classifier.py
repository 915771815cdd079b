"""Losses, accuracies and fused predictions of the two heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmaction.structures import ActionDataSample
from torch import nn

from mmdualhead.errors import UserError
from mmdualhead.models import DualHeadClassifier
from mmdualhead.models.classifier import FUSIONS

FEATS = {'coarse': torch.randn(4, 2, 6, 3, 5), 'fine': torch.randn(4, 2, 3, 6, 5)}


def samples(*labels: int) -> list[ActionDataSample]:
    return [ActionDataSample().set_gt_label(label) for label in labels]


def make(**kwargs) -> DualHeadClassifier:
    return DualHeadClassifier(5, {'coarse': 6, 'fine': 3}, **kwargs)


def test_loss_is_one_weighted_cross_entropy_per_head():
    classifier = make(loss_weights={'fine': 2})
    coarse, fine = classifier(FEATS)
    labels = torch.tensor([0, 1, 2, 4])
    losses = classifier.loss(FEATS, samples(0, 1, 2, 4))
    torch.testing.assert_close(losses['coarse_loss'], 0.5 * F.cross_entropy(coarse, labels))
    torch.testing.assert_close(losses['fine_loss'], 2 * F.cross_entropy(fine, labels))


def test_the_log_shows_the_accuracy_of_coarse_fine_and_fused():
    classifier = make(topk=(1, 5, 9))
    losses = classifier.loss(FEATS, samples(0, 1, 2, 4))
    right = (classifier(FEATS)[0].argmax(1) == torch.tensor([0, 1, 2, 4])).float().mean()
    assert losses['coarse_top1_acc'] == right
    assert losses['fused_top5_acc'] == losses['fine_top5_acc'] == 1
    assert 'fused_top9_acc' not in losses
    assert sum('loss' in name for name in losses) == 2


class Sum(nn.Module):
    """A loss over several heads that keeps what it is called with."""

    def __init__(self, heads, num_classes):
        super().__init__()
        self.heads, self.num_classes = heads, num_classes
        self.share = nn.Parameter(torch.tensor(3.0))

    def forward(self, logits, labels, losses):
        self.called_with = (logits, labels, losses)
        return self.share * sum(losses.values())


def test_a_loss_over_several_heads_gets_their_logits_labels_and_losses():
    classifier = make(losses={'sum': dict(type=Sum), 'none': None}, loss_weights={'fine': 0})
    losses = classifier.loss(FEATS, samples(0, 1, 2, 4))
    part = classifier.losses['sum']
    assert (part.heads, part.num_classes) == (('coarse', 'fine'), 5)
    logits, labels, own = part.called_with
    torch.testing.assert_close(tuple(logits.values()), classifier(FEATS))
    assert labels.tolist() == [0, 1, 2, 4]
    assert own == {name: F.cross_entropy(scores, labels) for name, scores in logits.items()}
    torch.testing.assert_close(losses['sum_loss'], 3 * (own['coarse'] + own['fine']))
    torch.testing.assert_close(losses['coarse_loss'], 0.5 * own['coarse'])
    assert losses['fine_loss'] == 0
    assert 'losses.sum.share' in classifier.state_dict()
    assert not [name for name in make().state_dict() if 'loss' in name]


def test_a_loss_may_not_have_the_name_of_a_head():
    with pytest.raises(UserError, match="a loss cannot be called 'fine'"):
        make(losses={'fine': dict(type=Sum)})


def test_label_smoothing_spreads_the_label():
    plain, smooth = make(), make(label_smooth_eps=0.1)
    smooth.load_state_dict(plain.state_dict())
    logits = plain(FEATS)[0]
    labels = torch.tensor([0, 1, 2, 4])
    expected = 0.5 * (0.9 * F.cross_entropy(logits, labels) - 0.1 * logits.log_softmax(1).mean())
    torch.testing.assert_close(smooth.loss(FEATS, samples(0, 1, 2, 4))['coarse_loss'], expected)


def test_dropout_drops_pooled_features_in_training_only():
    classifier = make(dropout=0.5)
    feats = {'coarse': torch.ones(1000, 1, 6, 1, 1), 'fine': torch.ones(1000, 1, 3, 1, 1)}
    with torch.no_grad():
        for linear in classifier.linear.values():
            linear.weight.zero_()
            linear.bias.zero_()
            linear.weight[0, 0] = 1
        for logits in classifier(feats):
            assert logits[:, 0].unique().tolist() == [0, 2]
            assert logits[:, 0].mean().item() == pytest.approx(1, abs=0.2)
        assert {logits[:, 0].unique().item() for logits in classifier.eval()(feats)} == {1}


def predict(classifier: DualHeadClassifier, feats=FEATS, clips: int = 4) -> list[ActionDataSample]:
    return classifier.predict(feats, samples(*range(clips)))


def test_prediction_fuses_probabilities():
    classifier = make(shares={'coarse': 0.3, 'fine': 0.7})
    coarse, fine = classifier(FEATS)
    for i, sample in enumerate(predict(classifier)):
        torch.testing.assert_close(sample.coarse_score, coarse[i].softmax(0))
        torch.testing.assert_close(sample.fine_score, fine[i].softmax(0))
        torch.testing.assert_close(sample.pred_score, 0.3 * sample.coarse_score + 0.7 * sample.fine_score)
        assert sample.pred_label.tolist() == [sample.pred_score.argmax()]
        assert sample.gt_label == i


def test_prediction_can_fuse_logits():
    classifier = make(fuse='logit')
    coarse, fine = classifier(FEATS)
    for i, sample in enumerate(predict(classifier)):
        torch.testing.assert_close(sample.pred_score, ((coarse[i] + fine[i]) / 2).softmax(0))


def test_clips_of_one_recording_are_averaged():
    classifier = make()
    single = torch.stack([sample.pred_score for sample in predict(classifier)])
    averaged = torch.stack([sample.pred_score for sample in predict(classifier, clips=2)])
    torch.testing.assert_close(averaged, single.view(2, 2, -1).mean(1))


def test_pooling_takes_joints_and_frames_then_persons():
    classifier = make()
    coarse, _ = classifier(FEATS)
    torch.testing.assert_close(coarse, classifier.linear['coarse'](FEATS['coarse'].mean((1, 3, 4))))


@pytest.mark.parametrize(
    'wrong',
    [
        dict(fuse='sum'),
        dict(shares={'coarse': 0.9, 'fine': 0.2}),
        dict(shares={'coarse': 1.5, 'fine': -0.5}),
        dict(shares={'coarse': 0.5, 'middle': 0.5}),
        dict(loss_weights={'middle': 1}),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)


@pytest.mark.parametrize('share', [0, 1])
def test_one_head_can_decide_alone(share):
    classifier = make(shares={'coarse': share, 'fine': 1 - share})
    for sample in predict(classifier):
        torch.testing.assert_close(sample.pred_score, sample.coarse_score if share else sample.fine_score)


def test_a_head_without_a_share_has_none():
    for sample in predict(make(shares={'fine': 1})):
        torch.testing.assert_close(sample.pred_score, sample.fine_score)


@pytest.mark.parametrize('fuse', FUSIONS.values(), ids=FUSIONS)
def test_fusing_takes_the_last_dimension_as_classes(fuse):
    logits, shares = torch.randn(2, 3, 4, 5), (0.3, 0.7)
    fused = fuse(logits, shares)
    torch.testing.assert_close(fused.sum(-1), torch.ones(3, 4))
    torch.testing.assert_close(fused[1, 2], fuse(logits[:, 1, 2], shares))


def test_any_number_of_heads():
    feats = {name: torch.randn(4, 2, 6, 3, 5) for name in ('a', 'b', 'c')}
    classifier = DualHeadClassifier(5, dict.fromkeys(feats, 6))
    losses = classifier.loss(feats, samples(0, 1, 2, 3))
    assert {'a_loss', 'b_loss', 'c_loss', 'fused_top1_acc'} <= set(losses)
    for sample in predict(classifier, feats):
        mean = (sample.a_score + sample.b_score + sample.c_score) / 3
        torch.testing.assert_close(sample.pred_score, mean)


def test_a_head_may_not_have_the_name_of_another_score():
    with pytest.raises(ValueError, match="a head cannot be called 'fused'"):
        DualHeadClassifier(5, {'coarse': 6, 'fused': 3})


def test_drop_out_acts_in_training_only():
    classifier = make(dropout=0.5)
    assert not torch.equal(classifier(FEATS)[0], classifier(FEATS)[0])
    classifier.eval()
    assert torch.equal(classifier(FEATS)[0], classifier(FEATS)[0])

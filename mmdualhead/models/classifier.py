"""Classification by several heads: logits, losses and the fused prediction, eqs. (12) to (14).

N clips (times the clips sampled of each), M persons, C channels, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdualhead.errors import UserError

from .build import build_part, require_counts

PAPER_LOSS_WEIGHT = 0.5

RESERVED = ('fused', 'oracle', 'pred', 'gt', 'names', 'labels', 'other')
"""What heads can't be called: fields of logs, data samples and dumps have these names."""


def fuse_probabilities(logits: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Eq. (14) for any number of heads: the sum of share * softmax(logits (..., classes))."""
    return sum(share * x.softmax(-1) for x, share in zip(logits, shares, strict=True))


def fuse_logits(logits: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The authors' program: softmax of the weighted mean of the logits (..., classes)."""
    return sum(share * x for x, share in zip(logits, shares, strict=True)).softmax(-1)


FUSIONS = {'prob': fuse_probabilities, 'logit': fuse_logits}


@MODELS.register_module()
class DualHeadClassifier(BaseModule):
    """A linear classifier for each head, a loss for each, and their fused prediction.

    Args:
        num_classes: number of classes.
        in_channels: channels of each head's features, by the head's name.
        shares: of each head in the fused score, by name; they sum to 1. Equal by default, as in the paper,
            whose alpha is the coarse head's share.
        fuse: ``'prob'`` fuses probabilities (eq. 14), ``'logit'`` logits (the authors' program).
        loss_weights: of each head's own loss, by name; 0.5 where a head is not named.
        label_smooth_eps: share of the label that is spread over all classes.
        dropout: probability of dropping a pooled feature in training.
        topk: the accuracies that the training log shows.
        init_cfg: see mmengine's ``BaseModule``.
        loss_cls: config of each head's own loss, called with its logits (N, classes) and the labels: one of
            MMAction2's, or yours. Cross entropy by default.
        losses: config of each loss over several heads, by name; None removes one. It is called with the
            logits (N, classes) of all heads, the labels (N,), and the heads' own losses before they are
            weighted, the first and the last by the heads' names.

    Raises:
        UserError: ``fuse`` is unknown, a head has the name of another score, shares or loss weights do not
            fit the heads, a loss has the name of a head, or a number is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Mapping[str, int],
        shares: Mapping[str, float] | None = None,
        fuse: str = 'prob',
        loss_weights: Mapping[str, float] | None = None,
        label_smooth_eps: float = 0.0,
        dropout: float = 0.0,
        topk: Sequence[int] = (1,),
        init_cfg: Mapping[str, Any] | None = None,
        loss_cls: Mapping[str, Any] | None = None,
        losses: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if fuse not in FUSIONS:
            raise UserError(f'DualHeadClassifier: fuse is {fuse!r}, expected one of {sorted(FUSIONS)}')
        for name, share in (('label_smooth_eps', label_smooth_eps), ('dropout', dropout)):
            if not 0 <= share <= 1:
                raise UserError(f'DualHeadClassifier: {name} is {share}, expected 0 to 1')
        require_counts('DualHeadClassifier', num_classes=num_classes)
        taken = sorted(set(in_channels) & set(RESERVED))
        if taken:
            raise UserError(f'DualHeadClassifier: a head cannot be called {taken[0]!r}, scores are named so')
        self.num_classes = num_classes
        self.fusion = FUSIONS[fuse]
        self.shares = _read_shares(shares, tuple(in_channels))
        self.loss_weights = _read_loss_weights(loss_weights, tuple(in_channels))
        self.label_smooth_eps = label_smooth_eps
        self.topk = tuple(k for k in topk if k <= num_classes)
        self.loss_cls = None if loss_cls is None else MODELS.build(loss_cls)
        self.losses = _build_losses(losses or {}, heads=tuple(in_channels), num_classes=num_classes)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.ModuleDict(
            {name: nn.Linear(channels, num_classes) for name, channels in in_channels.items()}
        )

    def forward(self, feats: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Logits of the heads, eqs. (12), (13).

        Args:
            feats: features of each head, (N, M, C, T, V).

        Returns:
            Logits of each head, (N, classes), in the order of the config.
        """
        pooled = {name: self.dropout(feats[name].mean((3, 4)).mean(1)) for name in self.linear}
        return tuple(linear(pooled[name]) for name, linear in self.linear.items())

    def fuse(self, logits: Sequence[Tensor]) -> Tensor:
        """The fused probabilities (N, classes), eq. (14)."""
        return self.fusion(logits, self.shares)

    def loss(
        self,
        feats: Mapping[str, Tensor],
        data_samples: Sequence[ActionDataSample],
        **kwargs: Any,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """The weighted losses of the heads, those over several heads, and accuracies for the log."""
        logits = self(feats)
        labels = torch.stack([sample.gt_label for sample in data_samples]).to(logits[0].device).squeeze(-1)
        by_head = dict(zip(self.linear, logits, strict=True))
        own = {name: self._own_loss(scores, labels) for name, scores in by_head.items()}
        losses = {
            f'{name}_loss': weight * loss
            for (name, loss), weight in zip(own.items(), self.loss_weights, strict=True)
        }
        losses |= {f'{name}_loss': loss(by_head, labels, own) for name, loss in self.losses.items()}
        if labels.dim() == 1:
            for name, scores in zip((*self.linear, 'fused'), (*logits, self.fuse(logits)), strict=True):
                losses |= {f'{name}_top{k}_acc': _top_k(scores, labels, k) for k in self.topk}
        return losses

    def _own_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of one head, of logits (N, classes) and labels (N,) or distributions (N, classes)."""
        if self.loss_cls is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smooth_eps)
        if self.label_smooth_eps:  # MMAction2's losses take distributions, as its heads form them
            spread = F.one_hot(labels, self.num_classes) if labels.dim() == 1 else labels
            labels = (1 - self.label_smooth_eps) * spread + self.label_smooth_eps / self.num_classes
        return self.loss_cls(logits, labels)

    def predict(
        self,
        feats: Mapping[str, Tensor],
        data_samples: Sequence[ActionDataSample],
        **kwargs: Any,  # noqa: ARG002
    ) -> Sequence[ActionDataSample]:
        """Put ``pred_score`` (fused), ``pred_label`` and ``NAME_score`` of each head into the samples.

        Scores are probabilities (classes,), averaged over the clips sampled of a recording.
        """
        logits = self(feats)
        scores = (self.fuse(logits), *(x.softmax(-1) for x in logits))
        averaged = (x.unflatten(0, (len(data_samples), -1)).mean(1) for x in scores)
        for sample, fused, *heads in zip(data_samples, *averaged, strict=True):
            sample.set_pred_score(fused)
            sample.set_pred_label(fused.argmax(-1, keepdim=True))
            for name, score in zip(self.linear, heads, strict=True):
                sample.set_field(score, f'{name}_score')
        return data_samples


def _build_losses(
    losses: Mapping[str, Mapping[str, Any] | None], heads: tuple[str, ...], **offered: Any
) -> nn.ModuleDict:
    """The losses over several heads, by name."""
    given = {name: cfg for name, cfg in losses.items() if cfg is not None}
    taken = sorted(set(given) & set(heads))
    if taken:
        raise UserError(f'DualHeadClassifier: a loss cannot be called {taken[0]!r}, which is a head')
    return nn.ModuleDict({name: build_part(cfg, heads=heads, **offered) for name, cfg in given.items()})


def _read_shares(shares: Mapping[str, float] | None, heads: tuple[str, ...]) -> tuple[float, ...]:
    """The share of each head, in order."""
    if shares is None:
        return (1 / len(heads),) * len(heads)
    values = tuple(shares.get(head, 0.0) for head in heads)
    if set(shares) - set(heads) or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
        raise UserError(
            f'DualHeadClassifier: shares are {dict(shares)}; expected numbers from 0 to 1 that sum to 1, '
            f'by the names of the heads {heads}'
        )
    return values


def _read_loss_weights(weights: Mapping[str, float] | None, heads: tuple[str, ...]) -> tuple[float, ...]:
    """The weight of each head's loss, in order."""
    weights = weights or {}
    if set(weights) - set(heads) or min(weights.values(), default=0) < 0:
        raise UserError(
            f'DualHeadClassifier: loss_weights are {dict(weights)}; expected numbers from 0 on, '
            f'by the names of the heads {heads}'
        )
    return tuple(weights.get(head, PAPER_LOSS_WEIGHT) for head in heads)


@torch.no_grad()
def _top_k(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """The share of clips (N,) whose label is among the k best scores."""
    return (scores.topk(k, -1).indices == labels[:, None]).any(-1).float().mean()

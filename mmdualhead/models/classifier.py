"""Classification by two heads: logits, losses and the fused prediction, eqs. (12) to (14).

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

PAPER_ALPHA = 0.5
PAPER_LOSS_WEIGHTS = (0.5, 0.5)


def fuse_probabilities(coarse: Tensor, fine: Tensor, alpha: float) -> Tensor:
    """Eq. (14): alpha * softmax(coarse) + (1 - alpha) * softmax(fine), for logits (..., classes)."""
    return alpha * coarse.softmax(-1) + (1 - alpha) * fine.softmax(-1)


def fuse_logits(coarse: Tensor, fine: Tensor, alpha: float) -> Tensor:
    """The authors' program: softmax of the weighted mean of the logits (..., classes)."""
    return (alpha * coarse + (1 - alpha) * fine).softmax(-1)


FUSIONS = {'prob': fuse_probabilities, 'logit': fuse_logits}


@MODELS.register_module()
class DualHeadClassifier(BaseModule):
    """A linear classifier for each head, a loss for each, and their fused prediction.

    Args:
        num_classes: number of classes.
        in_channels: channels of the coarse and the fine features.
        alpha: weight of the coarse head in the fused score.
        fuse: ``'prob'`` fuses probabilities (eq. 14), ``'logit'`` logits (the authors' program).
        loss_weights: of the coarse and the fine head's cross entropy.
        label_smooth_eps: share of the label that is spread over all classes.
        dropout: probability of dropping a pooled feature in training.
        topk: the accuracies that the training log shows.
        init_cfg: see mmengine's ``BaseModule``.

    Raises:
        ValueError: ``fuse`` is unknown or ``alpha`` outside [0, 1].
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        alpha: float = PAPER_ALPHA,
        fuse: str = 'prob',
        loss_weights: Sequence[float] = PAPER_LOSS_WEIGHTS,
        label_smooth_eps: float = 0.0,
        dropout: float = 0.0,
        topk: Sequence[int] = (1,),
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if fuse not in FUSIONS:
            raise ValueError(f'DualHeadClassifier: fuse is {fuse!r}, expected one of {sorted(FUSIONS)}')
        if not 0 <= alpha <= 1:
            raise ValueError(f'DualHeadClassifier: alpha is {alpha}, expected 0 to 1')
        coarse_channels, fine_channels = in_channels
        self.num_classes = num_classes
        self.alpha = alpha
        self.fusion = FUSIONS[fuse]
        self.loss_weights = tuple(loss_weights)
        self.label_smooth_eps = label_smooth_eps
        self.topk = tuple(k for k in topk if k <= num_classes)
        self.dropout = nn.Dropout(dropout)
        self.coarse = nn.Linear(coarse_channels, num_classes)
        self.fine = nn.Linear(fine_channels, num_classes)

    def forward(self, feats: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of both heads, eqs. (12), (13).

        Args:
            feats: coarse and fine features, each (N, M, C, T, V).

        Returns:
            Coarse and fine logits, each (N, classes).
        """
        coarse, fine = (self.dropout(x.mean((3, 4)).mean(1)) for x in feats)
        return self.coarse(coarse), self.fine(fine)

    def loss(
        self,
        feats: tuple[Tensor, Tensor],
        data_samples: Sequence[ActionDataSample],
        **kwargs: Any,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Both losses, weighted, and the accuracy of coarse, fine and fused predictions, for the log."""
        logits = self(feats)
        labels = torch.stack([sample.gt_label for sample in data_samples]).to(logits[0].device).squeeze(-1)
        names, losses = ('coarse', 'fine'), {}
        for name, scores, weight in zip(names, logits, self.loss_weights, strict=True):
            entropy = F.cross_entropy(scores, labels, label_smoothing=self.label_smooth_eps)
            losses[f'{name}_loss'] = weight * entropy
        if labels.dim() == 1:
            fused = self.fusion(*logits, self.alpha)
            for name, scores in zip((*names, 'fused'), (*logits, fused), strict=True):
                losses |= {f'{name}_top{k}_acc': _top_k(scores, labels, k) for k in self.topk}
        return losses

    def predict(
        self,
        feats: tuple[Tensor, Tensor],
        data_samples: Sequence[ActionDataSample],
        **kwargs: Any,  # noqa: ARG002
    ) -> Sequence[ActionDataSample]:
        """Put ``pred_score`` (fused), ``pred_label``, ``coarse_score`` and ``fine_score`` into the samples.

        Scores are probabilities (classes,), averaged over the clips sampled of a recording.
        """
        logits = self(feats)
        scores = (self.fusion(*logits, self.alpha), *(x.softmax(-1) for x in logits))
        averaged = (x.unflatten(0, (len(data_samples), -1)).mean(1) for x in scores)
        for sample, fused, coarse, fine in zip(data_samples, *averaged, strict=True):
            sample.set_pred_score(fused)
            sample.set_pred_label(fused.argmax(-1, keepdim=True))
            sample.set_field(coarse, 'coarse_score')
            sample.set_field(fine, 'fine_score')
        return data_samples


@torch.no_grad()
def _top_k(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """The share of clips (N,) whose label is among the k best scores."""
    return (scores.topk(k, -1).indices == labels[:, None]).any(-1).float().mean()

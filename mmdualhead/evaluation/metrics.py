"""Metrics for MMAction2's evaluators: accuracies of every head, and the dump that fusion reads.

Both work with any recognizer of MMAction2. The heads are the ``NAME_score`` entries of its data samples.
K is the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from mmdualhead.errors import UserError

from .accuracy import TOPK, accuracies, ranks_by_head
from .scores import FUSED, LabeledScores, head_scores, save_scores

DUMP_NAME = 'scores.npz'


class ScoreMetric(BaseMetric):
    """Collects name, label and scores of each clip; subclasses compute metrics from them."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """Keep a batch's clips.

        Raises:
            UserError: a score is NaN or infinite, or a label is not a class; the clip is named.
        """
        for sample in data_samples:
            clip = _read_sample(sample, index=len(self.results))
            _to_scores([clip])
            self.results.append(clip)


@METRICS.register_module()
class DualHeadMetric(ScoreMetric):
    """Top-k and mean class accuracy of the fused score, of each head, and of an oracle between them.

    The fused ones keep MMAction2's names (``acc/top1``, ``acc/top5``, ``acc/mean1``); the others are
    ``acc/coarse_top1``, ``acc/fine_mean1``, ``acc/oracle_top5`` and so on. The oracle counts a clip as
    correct if any head is correct: an upper bound for choosing between them. Beside MMAction2's AccMetric,
    its fused ones are left to that (:func:`share_names`).

    Args:
        topk: k, or several.
        collect_device: where results of several processes are collected, ``'cpu'`` or ``'gpu'``.
        prefix: prefix of the metric names.
    """

    default_prefix = 'acc'

    def __init__(
        self, topk: int | Sequence[int] = TOPK, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(np.ravel(topk).tolist())
        self.left_out: frozenset[str] = frozenset()

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Accuracies as fractions."""
        metrics, scores = {}, _to_scores(results)
        for head, rank in ranks_by_head(scores.heads, scores.labels).items():
            prefix = '' if head == FUSED else f'{head}_'
            for name, value in accuracies(rank, scores.labels, self.topk).items():
                metrics[prefix + name.replace('mean_class', 'mean1')] = value
        return {name: value for name, value in metrics.items() if name not in self.left_out}


def share_names(metrics: Iterable[BaseMetric]) -> None:
    """Let DualHeadMetric leave out what MMAction2's AccMetric beside it measures under the same names.

    MMEngine refuses two results of one name, after all clips.
    """
    metrics = tuple(metrics)
    for ours in metrics:
        if isinstance(ours, DualHeadMetric):
            beside = [one for one in metrics if isinstance(one, AccMetric) and one.prefix == ours.prefix]
            ours.left_out = frozenset(name for one in beside for name in _measured_names(one))


def _measured_names(metric: AccMetric) -> Iterator[str]:
    """The names of DualHeadMetric's that AccMetric uses, too."""
    if 'top_k_accuracy' in metric.metrics:
        options = metric.metric_options.get('top_k_accuracy', {})
        yield from (f'top{k}' for k in np.ravel(options.get('topk', TOPK)))
    if 'mean_class_accuracy' in metric.metrics:
        yield 'mean1'


@METRICS.register_module()
class DumpScores(ScoreMetric):
    """Writes names, labels, and the fused and each head's scores of all clips (:func:`~.scores.save_scores`).

    Args:
        out_file: the ``.npz`` file. Defaults to ``scores.npz`` next to the log of this run, that is
            ``WORK_DIR/TIMESTAMP/scores.npz``, where ``tools/ensemble.py WORK_DIR`` finds the newest.
        collect_device: where results of several processes are collected, ``'cpu'`` or ``'gpu'``.

    Raises:
        UserError: ``out_file`` is not an ``.npz`` file, or (on the first batch) samples lack ``frame_dir``.
    """

    default_prefix = 'dump'

    def __init__(self, out_file: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        if out_file is not None and not out_file.endswith('.npz'):
            raise UserError(f'DumpScores writes .npz files, so out_file={out_file!r} must end with .npz')
        self.out_file = out_file

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep name, label and scores of a batch's clips."""
        if any('frame_dir' not in sample for sample in data_samples):
            raise UserError(
                'DumpScores needs the names of the clips: put PackActionInputs(meta_keys=("frame_dir",)) '
                'into the test pipeline'
            )
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Write the file; there are no metrics."""
        # Outside a run there is no log, and the file goes to the current folder.
        log = MMLogger.get_current_instance().log_file or ''
        path = self.out_file or Path(log).parent / DUMP_NAME
        save_scores(_to_scores(results), path)
        print_log(f'Scores of {len(results)} clips are in {path}', logger='current')
        return {}


def _read_sample(sample: Mapping[str, Any], index: int) -> dict[str, Any]:
    """One clip's name, label and scores, as plain numpy, out of a data sample."""
    name = sample.get('frame_dir', f'number {index} of the test set')
    label = np.asarray(sample['gt_label'].cpu())
    if label.size != 1:
        raise UserError(f'clip {name}: {label.size} labels; the metrics of mmdualhead expect one per clip')
    heads = {head: score.detach().cpu().float().numpy() for head, score in head_scores(sample).items()}
    return {'name': str(name), 'label': int(label.item()), 'heads': heads}


def _to_scores(clips: Sequence[Mapping[str, Any]]) -> LabeledScores:
    heads = {head: np.stack([clip['heads'][head] for clip in clips]) for head in clips[0]['heads']}
    return LabeledScores(
        source='model output',
        names=tuple(clip['name'] for clip in clips),
        labels=np.array([clip['label'] for clip in clips]),
        heads=heads,
    )

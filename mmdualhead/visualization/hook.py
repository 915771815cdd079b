"""Figures of a validation for MMEngine's visualizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdualhead.evaluation.accuracy import confusion_matrix
from mmdualhead.evaluation.answer import Answer, name_classes
from mmdualhead.evaluation.scores import FUSED, head_scores
from mmdualhead.network_input import NetworkInput, innermost

from .drawings import draw_strip
from .figures import draw_confusion


@HOOKS.register_module()
class ShowValidationHook(Hook):
    """Adds the confusion matrix and a few clips to the visualizer after a validation.

    Off unless a config contains it: ``custom_hooks = [dict(type='ShowValidationHook')]``. The curves of all
    heads do not need it: they are the accuracies of ``DualHeadMetric``. In distributed runs the matrix
    contains the clips of the first process. Clips of several classes have no matrix. Needs the extras
    ``plot`` and ``view``.

    Args:
        clips: number of clips to show, evenly spaced over the data set.
        interval: number of validations from one display to the next.
    """

    def __init__(self, clips: int = 4, interval: int = 1) -> None:
        self.clips, self.interval = clips, interval
        self._validations = 0
        self._samples: dict[str, dict[str, Any]] = {}

    def before_val_epoch(self, runner: Runner) -> None:  # noqa: ARG002
        """Discard the previous validation."""
        self._samples = {}

    def after_val_iter(
        self,
        runner: Runner,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Keep the scores of a batch."""
        for sample in outputs or ():
            scores = {head: value.detach().cpu().numpy() for head, value in head_scores(sample).items()}
            name = sample.get('frame_dir', str(len(self._samples)))
            # With multi_class=True, one number a class.
            label = int(sample.gt_label) if sample.gt_label.numel() == 1 else None
            self._samples[name] = dict(scores=scores, label=label)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Draw on the first process."""
        self._validations += 1
        if runner.rank or self._validations % self.interval or not self._samples:
            return
        dataset = runner.val_dataloader.dataset
        scores = np.stack([sample['scores'][FUSED] for sample in self._samples.values()])
        labels = [sample['label'] for sample in self._samples.values()]
        names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        classes = name_classes(names, scores.shape[1])
        if None not in labels:
            picture = _picture(draw_confusion, confusion_matrix(scores, np.array(labels)), classes)
            runner.visualizer.add_image('val_confusion', picture, step=runner.iter)
        for place, answer in enumerate(self._answers(dataset, classes)):
            runner.visualizer.add_image(f'val_clip_{place}', _picture(draw_strip, answer), step=runner.iter)

    def _answers(self, dataset: Any, classes: tuple[str, ...]) -> Iterator[Answer]:
        """The predictions for the clips to show."""
        rows = [(part, row) for part in innermost(dataset) for row in range(len(part))]
        for place in np.unique(np.linspace(0, len(rows) - 1, self.clips).astype(int)):
            part, row = rows[place]
            clip = part.get_data_info(row)
            name = clip['frame_dir']
            # Clips are drawn as they were recorded, which a camera may show to the network otherwise.
            skeleton = NetworkInput.of_steps(part.pipeline.transforms).of_clips.skeleton
            if skeleton is None or name not in self._samples:
                continue
            yield Answer(
                name=name,
                scores=self._samples[name]['scores'],
                classes=classes,
                keypoint=np.asarray(clip['keypoint'], np.float32),
                skeleton=skeleton,
                true_label=self._samples[name]['label'],
            )


def _picture(draw: Callable[..., Any], *what: Any) -> np.ndarray:
    """The figure as an array (H, W, 3)."""
    with TemporaryDirectory() as folder:
        draw(*what, file := Path(folder, 'picture.png'))
        return mmcv.imread(file, channel_order='rgb')

"""Pictures of a validation, for whatever MMEngine's visualizer writes to."""

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
from mmdualhead.network_input import NetworkInput

from .drawings import draw_strip
from .figures import draw_confusion


@HOOKS.register_module()
class ShowValidationHook(Hook):
    """Adds the confusion matrix and a few clips to the visualizer after a validation.

    Off unless a config names it: ``custom_hooks = [dict(type='ShowValidationHook')]``. The curves of all
    heads are there without it: the accuracies of ``DualHeadMetric``. In distributed runs the
    matrix holds the clips of the first process. Needs the extras ``plot`` and ``view``.

    Args:
        clips: how many clips to show, evenly spaced over the data set.
        interval: show every so many validations.
    """

    def __init__(self, clips: int = 4, interval: int = 1) -> None:
        self.clips, self.interval = clips, interval
        self._validations = 0
        self._samples: dict[str, dict[str, Any]] = {}

    def before_val_epoch(self, runner: Runner) -> None:  # noqa: ARG002
        """Forget the validation before."""
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
            self._samples[name] = dict(scores=scores, label=int(sample.gt_label))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Draw on the first process."""
        self._validations += 1
        if runner.rank or self._validations % self.interval or not self._samples:
            return
        dataset = runner.val_dataloader.dataset
        scores = np.stack([sample['scores'][FUSED] for sample in self._samples.values()])
        labels = np.array([sample['label'] for sample in self._samples.values()])
        matrix = confusion_matrix(scores, labels)
        classes = name_classes((getattr(dataset, 'metainfo', None) or {}).get('classes'), len(matrix))
        runner.visualizer.add_image(
            'val_confusion', _picture(draw_confusion, matrix, classes), step=runner.iter
        )
        for place, answer in enumerate(self._answers(dataset, classes)):
            runner.visualizer.add_image(f'val_clip_{place}', _picture(draw_strip, answer), step=runner.iter)

    def _answers(self, dataset: Any, classes: tuple[str, ...]) -> Iterator[Answer]:
        """Those of the clips to show."""
        skeleton = NetworkInput.of_steps(dataset.pipeline.transforms).skeleton
        for index in np.unique(np.linspace(0, len(dataset) - 1, self.clips).astype(int)):
            clip = dataset.get_data_info(int(index))
            name = clip['frame_dir']
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
    """(H, W, 3) what is drawn into a file."""
    with TemporaryDirectory() as folder:
        draw(*what, file := Path(folder, 'picture.png'))
        return mmcv.imread(file, channel_order='rgb')

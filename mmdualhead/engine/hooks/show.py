"""Pictures of a validation, for whatever MMEngine's visualizer writes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmdualhead.datasets.pipelines import step_skeleton
from mmdualhead.evaluation.scores import FUSED, head_scores


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
        classes = _class_names(runner, self._samples)
        runner.visualizer.add_image('val_confusion', self._confusion(classes), step=runner.iter)
        for number, picture in enumerate(self._strips(runner, classes)):
            runner.visualizer.add_image(f'val_clip_{number}', picture, step=runner.iter)

    def _confusion(self, classes: Sequence[str]) -> np.ndarray:
        from mmdualhead.visualization.figures import draw_confusion

        matrix = np.zeros((len(classes), len(classes)), int)
        for sample in self._samples.values():
            matrix[sample['label'], sample['scores'][FUSED].argmax()] += 1
        return _picture(lambda file: draw_confusion(matrix, classes, file))

    def _strips(self, runner: Runner, classes: Sequence[str]) -> list[np.ndarray]:
        from mmdualhead.apis.answer import Answer
        from mmdualhead.visualization.drawings import draw_strip

        dataset = runner.val_dataloader.dataset
        skeleton = next(filter(None, map(step_skeleton, dataset.pipeline.transforms)), None)
        if skeleton is None:
            return []
        pictures = []
        for index in np.unique(np.linspace(0, len(dataset) - 1, self.clips).astype(int)):
            clip = dataset.get_data_info(int(index))
            sample = self._samples.get(clip['frame_dir'])
            if sample is None:
                continue
            answer = Answer(
                name=clip['frame_dir'],
                scores=sample['scores'],
                classes=tuple(classes),
                keypoint=np.asarray(clip['keypoint'], np.float32),
                skeleton=skeleton,
                true_label=sample['label'],
            )
            pictures.append(_picture(lambda file, answer=answer: draw_strip(answer, file)))
        return pictures


def _class_names(runner: Runner, samples: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    from mmdualhead.apis.answer import name_classes

    known = (getattr(runner.val_dataloader.dataset, 'metainfo', None) or {}).get('classes')
    return name_classes(known, len(next(iter(samples.values()))['scores'][FUSED]))


def _picture(draw: Any) -> np.ndarray:
    """(H, W, 3) what is drawn into a file."""
    from PIL import Image

    with TemporaryDirectory() as folder:
        file = Path(folder, 'picture.png')
        draw(file)
        return np.asarray(Image.open(file).convert('RGB'))

"""The data set: an annotation file, one of its splits, and a pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.datasets import PoseDataset
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.logging import print_log

from mmdualhead.datasets.annotations.clips import Clips
from mmdualhead.datasets.annotations.files import (
    AnnotationFile,
    check_names,
    check_split,
    completed_by,
    describe_missing,
    is_elsewhere,
    open_annotations,
)
from mmdualhead.datasets.annotations.splits import choose_split, protocol_and_role
from mmdualhead.datasets.class_names import class_names
from mmdualhead.errors import UserError, report
from mmdualhead.network_input import NetworkInput, definition_of
from mmdualhead.utils.command import original
from mmdualhead.utils.pickles import load_annotations


@DATASETS.register_module()
class SkeletonDataset(PoseDataset):
    """Skeleton clips of one split, checked when the data set is built.

    Reads what MMAction2's ``PoseDataset`` reads: a pickle of ``dict(split={name: [frame_dir, ...]},
    annotations=[dict(frame_dir, label, total_frames, keypoint, ...), ...])``, optionally with ``meta``, or
    with ``split=None`` the bare list of annotations; or a store
    (:mod:`mmdualhead.datasets.annotations.store`).

    Args:
        ann_file: the annotation file, a pickle or a store's directory.
        pipeline: steps, as configs or callables.
        split: name of the split; None for a file without splits.
        num_classes: labels must be smaller; None skips that check.
        check: check the annotations once, when the data set is built.
        ann_source: where to get the annotation file and which command makes it; shown if it is missing.
        **kwargs: further arguments of ``PoseDataset``.

    Raises:
        FileNotFoundError: the annotation file does not exist.
        ValueError: the split is unknown, steps disagree on the layout, or the annotations have faults.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable],
        split: str | None = None,
        num_classes: int | None = None,
        check: bool = True,
        ann_source: str = '',
        **kwargs: Any,
    ) -> None:
        steps = [_build_step(step) if isinstance(step, Mapping) else step for step in pipeline]
        # From the steps as given: built ones cannot distinguish a default from an explicit argument.
        self._network_input = NetworkInput.of_steps(pipeline)
        self.check = check
        self.ann_source = ann_source
        # Forked workers share arrays anyway; packing them into one buffer for that, MMEngine's default, takes
        # ten times as long as reading them and up to three times the memory.
        kwargs.setdefault('serialize_data', False)
        if 'video' in kwargs.get('data_prefix', {}):
            raise UserError(
                'SkeletonDataset reads no videos; use PoseDataset for data_prefix=dict(video=...)'
            )
        super().__init__(str(ann_file), pipeline=steps, split=split, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> Clips:
        """The split's annotations, checked; those of a store stay on disk."""
        path = Path(self.ann_file)
        if not path.exists():
            raise FileNotFoundError(describe_missing(path, self.ann_source))
        file = open_annotations(path)
        split = choose_split(self.split, file.splits, path)
        self._normalized = bool(file.meta.get('normalized'))
        self._metainfo = {**self._known(file), **self.metainfo}
        clips = self._check(file, split) if self.check else file.select(split)
        if not clips.in_memory:
            self.serialize_data = False
        if not len(clips):
            raise UserError(f'{path}: split {split!r} has no clips')
        return clips

    def _known(self, file: AnnotationFile) -> dict[str, Any]:
        """What MMEngine writes into every checkpoint, so that predictions have class names."""
        known = {key: file.meta[key] for key in ('dataset', 'layout', 'classes') if file.meta.get(key)}
        names = None if self.num_classes is None else class_names(file.path.stem, self.num_classes)
        seen = self._network_input.skeleton
        if self._network_input.recorded is not None and seen is not None:
            known['layout'] = definition_of(seen)  # which the checkpoint is for
        return {'classes': list(names), **known} if names else known

    def _check(self, file: AnnotationFile, split: str) -> Clips:
        """The usable clips of a split; errors are raised, other findings are logged."""
        expected = completed_by(file, self._network_input, self.num_classes)
        if is_elsewhere(expected, self.data_prefix):
            report(check_names(file, split), _warn)
            return file.select(split)
        training = not self.test_mode and protocol_and_role(split)[1] != 'test'
        checked = check_split(file, split, expected, training=training, multi_class=self.multi_class)
        report(checked.findings, _warn)
        return checked.clips

    def get_data_info(self, idx: int) -> dict:
        """One annotation."""
        info = super(PoseDataset, self).get_data_info(idx)
        if 'skeleton' in self.data_prefix:  # PoseDataset would run code in these files
            name = info['filename' if 'filename' in info else 'frame_dir']
            info.update(load_annotations(Path(self.data_prefix['skeleton'], f'{name}.pkl')))
        if not self.multi_class:
            info['label'] = int(info['label'])
        if 'keypoint' in info:
            info.setdefault('total_frames', info['keypoint'].shape[1])
            if (
                info['keypoint'].dtype.kind in 'iu'
            ):  # into which MMAction2's PreNormalize2D would write fractions
                info['keypoint'] = info['keypoint'].astype(np.float32)
        info['normalized'] = self._normalized
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """The class of a clip, which MMEngine's ``ClassBalancedDataset`` needs."""
        return [int(super().get_data_info(idx)['label'])]

    def _copy_without_annotation(self, memo: dict | None = None) -> SkeletonDataset:
        # MMEngine's own default is one dict for all calls. It caches data sets by the ids of objects that may
        # no longer exist, so that a later copy can get a data set in place of a step.
        return super()._copy_without_annotation({} if memo is None else memo)

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        if isinstance(self.data_list, Clips) and not isinstance(indices, int):
            return self.data_list[np.asarray(indices, np.int64)]
        return super()._get_unserialized_subset(indices)


def _warn(line: str) -> None:
    print_log(line, logger='current', level=logging.WARNING)


def _build_step(config: Mapping[str, Any]) -> Callable:
    """A step; MMEngine would look in the default scope, which Python code may not have set."""
    try:
        return TRANSFORMS.build(config)
    except (TypeError, ValueError) as error:
        raise UserError(f'the pipeline has {dict(config)}: {original(error)}') from error

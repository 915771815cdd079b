"""The data set: an annotation file, one of its splits, and a pipeline completed with a stream."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmaction.datasets import PoseDataset
from mmaction.registry import DATASETS, TRANSFORMS

from mmdualhead.datasets.safe_pickle import load_annotations
from mmdualhead.datasets.streams import parse_stream


@DATASETS.register_module()
class SkeletonDataset(PoseDataset):
    """Skeleton clips of one split, as one stream.

    Reads what MMAction2's ``PoseDataset`` reads: a pickle of ``dict(split={name: [frame_dir, ...]},
    annotations=[dict(frame_dir, label, total_frames, keypoint, ...), ...])``, optionally with ``meta``.

    Args:
        ann_file: the annotation file.
        pipeline: steps, as configs or callables. The one that forms the stream (``SkeletonStream`` or
            MMAction2's ``GenSkeFeat``) leaves the stream out; ``stream`` completes it.
        split: name of the split.
        stream: j, b, jm, bm or several joined by ``+``.
        num_classes: labels must be smaller; None skips that check.
        check: check the annotations once, when the data set is built.
        ann_source: where the annotation file comes from and which command makes it; shown when it is missing.
        **kwargs: further arguments of ``PoseDataset``.

    Raises:
        FileNotFoundError: there is no annotation file.
        ValueError: the stream is unknown, the pipeline can't form it, or the annotations have faults.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable],
        split: str | None = None,
        stream: str = 'j',
        num_classes: int | None = None,
        check: bool = True,
        ann_source: str = '',
        **kwargs: Any,
    ) -> None:
        self.stream = stream
        self.check = check
        self.ann_source = ann_source
        steps = [
            TRANSFORMS.build(step) if isinstance(step, Mapping) else step
            for step in complete_pipeline(pipeline, stream)
        ]
        super().__init__(str(ann_file), pipeline=steps, split=split, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> Sequence[dict]:
        """The split's annotations."""
        path = Path(self.ann_file)
        if not path.exists():
            raise FileNotFoundError(f'{path} is missing. {self.ann_source}'.strip())
        data = load_annotations(path)
        names = set(data['split'][self.split])
        return [annotation for annotation in data['annotations'] if annotation['frame_dir'] in names]


STREAM_STEPS = {'SkeletonStream': 'stream', 'GenSkeFeat': 'feats'}


def complete_pipeline(pipeline: Sequence[dict | Callable], stream: str) -> list[dict | Callable]:
    """A copy of the pipeline whose stream step forms ``stream``.

    Raises:
        ValueError: the stream is unknown; no step, or more than one, forms streams; or the step already names
            another stream.
    """
    parts = parse_stream(stream)
    values = {'stream': stream, 'feats': list(parts)}
    steps = [copy.deepcopy(step) if isinstance(step, Mapping) else step for step in pipeline]
    forming = [step for step in steps if step_name(step) in STREAM_STEPS]
    if not forming and stream == 'j':
        return steps
    if len(forming) != 1 or not isinstance(forming[0], Mapping):
        raise ValueError(
            f'stream={stream!r} needs exactly one config of {" or ".join(STREAM_STEPS)} in the pipeline; '
            f'it has the steps {[step_name(step) for step in steps]}'
        )
    (step,) = forming
    key = STREAM_STEPS[step_name(step)]
    named = step.get(key)
    if named is not None and named != values[key]:
        raise ValueError(
            f'the data set has stream={stream!r}, but its {step_name(step)} step {key}={named!r}; '
            f'leave {key} out of the step'
        )
    step[key] = values[key]
    return steps


def step_name(step: dict | Callable) -> str:
    """The class name of a pipeline's step, be it a config or built."""
    kind = step['type'] if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__

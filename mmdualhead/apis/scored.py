"""Answers out of dumped scores and the annotations they belong to, without the model. K classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmdualhead.apis.answer import Answer, name_classes
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.evaluation.fusion import to_probabilities
from mmdualhead.evaluation.readers import read_clips, read_scores
from mmdualhead.skeletons import get_skeleton


def scored_answers(
    scores_path: str | Path, ann_file: str | Path, split: str | None = None, every: int = 1
) -> list[Answer]:
    """What a test said of its clips; no attention is known.

    Args:
        scores_path: a dump, or a work dir; see :func:`~mmdualhead.evaluation.readers.read_scores`.
        ann_file: the annotations that were tested on, which say their layout.
        split: the split that was tested.
        every: 1 for all clips, 2 for every second, and so on.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: scores and annotations don't belong together, or the layout is not known.
    """
    scores, _ = to_probabilities(read_scores(scores_path, read_clips(ann_file, split)))
    file = open_annotations(ann_file)
    layout = file.meta.get('layout')
    if layout is None:
        raise ValueError(f'{ann_file}: meta says no layout')
    skeleton = get_skeleton(layout)
    classes = name_classes(file.meta.get('classes'), scores.num_classes)
    rows = {name: row for row, name in enumerate(scores.names)}
    clips = file.select(split) if split else file.select(next(iter(file.splits)))
    return [
        Answer(
            name=clip['frame_dir'],
            source=Path(ann_file),
            scores={head: values[rows[clip['frame_dir']]] for head, values in scores.heads.items()},
            classes=classes,
            keypoint=np.asarray(clip['keypoint'], np.float32),
            skeleton=skeleton,
            true_label=int(clip['label']),
        )
        for clip in (clips[i] for i in range(0, len(clips), every))
    ]

"""Readers of dumped predictions in several formats.

Shapes: N clips, K classes. Pickles are read with a restricted unpickler, so that files cannot execute code.
"""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.files import PickledAnnotations, duplicated_clips, open_annotations
from mmdualhead.datasets.annotations.splits import choose_split
from mmdualhead.datasets.class_names import read_class_names as read_name_list
from mmdualhead.errors import UserError
from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.text import clips_named
from mmdualhead.utils.torch_pickles import load_score_pickle

from .scores import (
    LabeledClips,
    LabeledScores,
    Scores,
    check_same_clips,
    check_unique,
    class_labels,
    common_labels,
    head_scores,
    load_scores,
)

DUMP_SUFFIXES = ('.npz', '.pkl', '.pickle')

STARTED = re.compile(r'\d{8}_\d{6}')
"""MMEngine's name for the folder of a run, training or test: when it started."""


def read_clips(ann_file: str | Path, split: str | None = None) -> LabeledClips:
    """Read names and labels for dumps that lack them.

    Args:
        ann_file: a PoseDataset pickle (``split`` and ``annotations``, or a bare list of annotations), a store
            folder of this package, or a label pickle of the ST-GCN family, ``(names, labels)``.
        split: the split that was tested, for annotations that have splits.

    Raises:
        ValueError: the file is none of these, has no such split, or lacks names or labels.
    """
    is_store = Path(ann_file).is_dir()
    content: Any = None if is_store else load_score_pickle(ann_file)
    if _is_pair_of_lists(content):
        return LabeledClips(
            str(ann_file), tuple(map(_strip_suffix, content[0])), class_labels(content[1], ann_file)
        )
    file = open_annotations(ann_file) if is_store else PickledAnnotations(ann_file, content)
    clips = file.select(choose_split(split, file.splits, ann_file))
    found = [(clip.get('frame_dir', clip.get('filename')), clip.get('label')) for clip in clips]
    if any(name is None for name, _ in found):
        raise UserError(f'{ann_file} contains annotations without frame_dir')
    if unlabeled := [name for name, label in found if label is None]:
        raise UserError(f'{ann_file} has no label for {clips_named(unlabeled)}')
    source = f'{ann_file} ({split})' if split else str(ann_file)
    labels = class_labels([label for _, label in found], ann_file)
    return LabeledClips(source, tuple(str(name) for name, _ in found), labels)


def _is_pair_of_lists(content: Any) -> bool:
    if not isinstance(content, Sequence) or len(content) != 2:
        return False
    return all(isinstance(part, Sequence | np.ndarray) for part in content) and len(content[0]) == len(
        content[1]
    )


def add_clip_options(parser: ArgumentParser) -> None:
    """Add the command-line options of :func:`chosen_clips`."""
    parser.add_argument('--ann-file', help='annotations, for dumps without clip names or labels')
    parser.add_argument('--split', help='the split of --ann-file that was tested')
    parser.add_argument(
        '--without-duplicates',
        action='store_true',
        help='exclude clips whose keypoints equal those of a training clip in --ann-file',
    )


def chosen_clips(
    ann_file: str | Path | None, split: str | None, without_duplicates: bool
) -> LabeledClips | None:
    """The clips chosen on the command line (:func:`add_clip_options`); None without options.

    Args:
        ann_file: see :func:`read_clips`.
        split: see :func:`read_clips`.
        without_duplicates: exclude test clips whose keypoints equal a training clip's.

    Raises:
        ValueError: as :func:`read_clips`; or ``without_duplicates`` without a file and its split.
    """
    if without_duplicates and not (ann_file and split):
        raise UserError(
            '--without-duplicates needs --ann-file and --split, to compare the clips with the others'
        )
    if ann_file is None:
        return None
    clips = read_clips(ann_file, split)
    if not without_duplicates:
        return clips
    return replace(clips, left_out=duplicated_clips(open_annotations(ann_file), str(split)))


def read_scores(path: str | Path, clips: LabeledClips | None = None) -> Scores:
    """Read one stream's scores.

    Args:
        path: a dump of :class:`~mmdualhead.evaluation.DumpScores` (``.npz``), of mmengine's ``DumpResults``
            (``mim test --dump``), a result pickle of pyskl or an ``.npy`` array (scores by position), a score
            pickle of the authors' code (scores by name), or a work dir, whose newest dump is used.
        clips: names and labels, in the order of the dumps that have no names; labels of both are compared.

    Returns:
        The scores, labeled where the file or ``clips`` has labels, without those that ``clips`` excludes.

    Raises:
        FileNotFoundError: no such file, or a work dir without a dump.
        ValueError: the content is not a dump, lacks names, or contradicts ``clips``.
    """
    path = Path(path)
    if path.is_dir():
        path = find_dump(path)
    is_ours = path.suffix == '.npz'
    scores = load_scores(path) if is_ours else _parse(str(path), _load(path), clips)
    return scores if clips is None else _with_labels(scores, clips)


def _load(path: Path) -> Any:
    if path.suffix != '.npy':
        return load_score_pickle(path)
    try:
        return load_arrays(path)
    except ValueError as error:
        raise UserError(f'{path}: {error}') from error


def find_dump(work_dir: Path) -> Path:
    """The newest dump below a work dir, by the test's folder: copies of files may have other times.

    Raises:
        FileNotFoundError: there is none, or none since the last training.
        ValueError: the folder contains several runs, so the newest dump is ambiguous.
    """
    runs = sorted({path.parent for path in work_dir.rglob('last_checkpoint')})
    if len(runs) > 1:
        raise UserError(f'{work_dir} contains several runs; choose one: {", ".join(map(str, runs))}')
    dumps = [path for path in work_dir.rglob('*') if path.suffix in DUMP_SUFFIXES and path.is_file()]
    advice = f'mmdualhead test CONFIG CHECKPOINT --work-dir {work_dir}'
    if not dumps:
        raise FileNotFoundError(
            f'{work_dir} contains no dumped scores ({", ".join(DUMP_SUFFIXES)}); create them with: {advice}'
        )
    newest = max(dumps, key=_when)
    trained = max(map(_when, work_dir.rglob('vis_data/scalars.json')), default=('',))  # tests have none
    if trained[0] > _when(newest)[0]:
        raise FileNotFoundError(
            f'{newest} is older than the training of {trained[0]} in {work_dir}; test again, with: {advice}; '
            'or name the file'
        )
    return newest


def _when(path: Path) -> tuple[str, int]:
    """When a file in a work dir was made: the name of its folder, or its time in that form; and its time."""
    modified = path.stat().st_mtime_ns
    local = time.strftime('%Y%m%d_%H%M%S', time.localtime(modified / 1e9))
    return max(STARTED.findall(str(path.parent)), default=local), modified


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file, one per line, or from the ``meta`` of an annotation file of this package.

    Raises:
        ValueError: the annotation file has no class names.
    """
    path = Path(path)
    if not path.is_dir() and path.suffix not in ('.pkl', '.pickle'):
        return tuple(read_name_list(path))
    classes = open_annotations(path).meta.get('classes')
    if not classes:
        raise UserError(f'{path} has no class names in its meta; give a text file of names, one per line')
    return tuple(map(str, classes))


def _parse(source: str, content: Any, clips: LabeledClips | None) -> Scores:
    samples = _to_samples(content)
    if not samples:
        raise UserError(
            f'{source} is not a dump of scores: neither a list of data samples with pred_score '
            '(DumpResults), nor a list of arrays (pyskl), nor a dict from clip name to array (the authors)'
        )
    keys = set.intersection(*map(set, samples))
    if 'pred_score' not in keys:
        raise UserError(f'{source} contains data samples without pred_score, only {sorted(keys)}')
    if 'frame_dir' in keys:
        names = tuple(str(sample['frame_dir']) for sample in samples)
    else:
        names = _names_from(clips, source, samples)
    key_of = head_scores({key: key for key in samples[0] if key in keys})
    heads = {head: _stack(source, [sample[key] for sample in samples]) for head, key in key_of.items()}
    scores = Scores(source=source, names=names, heads=heads)
    if 'gt_label' not in keys:
        return scores
    return scores.with_labels(class_labels([sample['gt_label'] for sample in samples], source))


def _to_samples(content: Any) -> Sequence[Mapping[str, Any]]:
    """A dump in the form of mmengine's ``DumpResults``, a list of data samples as dicts; empty for other
    content.

    The authors dump ``{name: scores}`` or ``{name: (scores, label)}``, pyskl a list of scores.
    """
    if isinstance(content, Mapping):
        samples = [{'frame_dir': _strip_suffix(name), 'pred_score': value} for name, value in content.items()]
        if all(isinstance(v, Sequence) and len(v) == 2 and np.ndim(v[1]) == 0 for v in content.values()):
            for sample in samples:
                sample['pred_score'], sample['gt_label'] = sample['pred_score']
        return samples
    if isinstance(content, np.ndarray) and content.ndim == 2:
        content = list(content)
    if not isinstance(content, Sequence):
        return []
    if all(isinstance(item, np.ndarray) for item in content):
        return [{'pred_score': item} for item in content]
    return content if all(isinstance(item, Mapping) for item in content) else []


def _names_from(clips: LabeledClips | None, source: str, content: Sequence) -> tuple[str, ...]:
    """Names by position, for dumps without names."""
    if clips is None:
        raise UserError(
            f'{source} contains no clip names, so its scores can only be matched by position. Give the '
            'annotation file of the test (--ann-file, --split), or dump again with '
            'PackActionInputs(meta_keys=("frame_dir",)) in the test pipeline'
        )
    if len(content) != len(clips.names):
        raise UserError(f'{source} scores {len(content)} clips, {clips.source} has {len(clips.names)}')
    return clips.names


def _with_labels(scores: Scores, clips: LabeledClips) -> LabeledScores:
    """Take labels from the annotations, or compare with them; both must have the same clips."""
    check_unique(scores)
    check_unique(clips)
    check_same_clips(clips, scores)
    label_of = common_labels([scores, clips] if isinstance(scores, LabeledScores) else [clips])
    rows = [i for i, name in enumerate(scores.names) if name not in clips.left_out]
    return scores.with_labels(np.array([label_of[name] for name in scores.names])).select(rows)


def _stack(source: str, rows: Sequence[Any]) -> np.ndarray:
    """(N, K) out of N scores of shape (K,) or (1, K)."""
    arrays = [np.asarray(row) for row in rows]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1 or not shapes[0] or arrays[0].size != shapes[0][-1]:
        raise UserError(f'{source}: expected one score per class for each clip, found the shapes {shapes}')
    if kinds := {str(array.dtype) for array in arrays if array.dtype.kind not in 'fiu'}:
        raise UserError(f'{source}: expected scores that are numbers, found {", ".join(sorted(kinds))}')
    return np.stack([array.reshape(-1) for array in arrays]).astype(np.float32)


def _strip_suffix(name: object) -> str:
    """Clip names of the ST-GCN family are file names."""
    return str(name).removesuffix('.skeleton').removesuffix('.json')

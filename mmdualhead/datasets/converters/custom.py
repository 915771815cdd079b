"""Your own recordings: one file per clip (.npy, .npz or .csv) and a table of labels.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmdualhead.datasets.class_names import read_class_names
from mmdualhead.datasets.poses.files import FRAME, Read, reader_of, whole
from mmdualhead.datasets.poses.files import READERS as ESTIMATED
from mmdualhead.datasets.poses.mediapipe import clip_of_table
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton
from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.reading import decode_text, read_bytes, read_json

from .files import list_files
from .raw_dataset import RawDataset, as_float32
from .table import joint_columns, joint_names, one_line_per_frame, parse_table

COLUMNS = ('clip', 'label', 'split')
PICTURE = ('height', 'width')
OPTIONAL = ('subject', *PICTURE)
SPLIT = r'([\w.-]+_)?(train|val|test)'
INDEX = '[0-9]{1,6}'
"""A label with more digits is a name."""

CHANNELS = (2, 3)
SUFFIXES = ('.npy', '.npz', '.csv')
"""Files that are not an estimator's."""


def scan(
    src: str | Path,
    labels: str | Path,
    layout: str,
    name: str = 'custom',
    classes: str | Path | None = None,
    img_shape: Sequence[int] | None = None,
) -> RawDataset:
    """Find the clips that a label table lists.

    The table is CSV with a header ``clip,label,split`` and optionally ``subject``, ``height`` and
    ``width``: the clip's file (relative to ``src``), its class as an index from 0 or as a name, and its
    split, ``train``, ``val`` or ``test``; for several protocols in one table several of them, separated by
    spaces (``xsub_train xview_val``); the performer; the size of its image.

    Args:
        src: directory of the clips.
        labels: the table.
        layout: name of a layout, or a JSON file that defines a custom layout.
        name: name of the data set.
        classes: a file with one name per line, in the order of the class indices. Without it, names in the
            table are sorted and numbered; a table of indices needs none.
        img_shape: (height, width) of the images that 2-D joints were found in, for all clips whose size is
            neither in the table nor in their file.

    Returns:
        The recordings, and the files in the directory that the table does not list.

    Raises:
        FileNotFoundError: the directory, the table, the layout or the classes are missing.
        UserError: one of them is malformed; the message names the line.
    """
    labels = Path(labels)
    files = list_files(src)
    definition = _read_layout(layout)
    pictures = None if img_shape is None else _picture(img_shape)
    rows = read_table(labels)
    indices, names = _number_classes(labels, rows, None if classes is None else _read_classes(classes))
    paths = [Path(src, recording.path) for recording in rows.values()]
    recordings = [
        replace(recording, path=path, label=index)
        for recording, path, index in zip(rows.values(), paths, indices, strict=True)
    ]
    own = {*map(whole, paths), labels}
    readable = (whole(path) for path in files if path.name.endswith((*SUFFIXES, FRAME)))
    unlisted = [path for path in dict.fromkeys(readable) if path not in own]
    return RawDataset(
        meta=dict(dataset=name, layout=definition, classes=names),
        recordings=recordings,
        read=partial(read_recording, skeleton=get_skeleton(definition), img_shape=pictures),
        left_out={_clip_name(str(path.relative_to(src))): 'not in the label table' for path in unlisted},
    )


def _read_layout(layout: str) -> str | dict[str, Any]:
    """A layout's name, or the definition from a JSON file."""
    if layout in SKELETONS:
        return layout
    if not Path(layout).exists():
        raise FileNotFoundError(
            f'layout {layout}: neither a file nor one of the layouts {", ".join(sorted(SKELETONS))}'
        )
    try:
        definition = read_json(layout)
        get_skeleton(definition)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f'layout {layout}: {error}') from error
    return definition


def _read_classes(path: str | Path) -> list[str]:
    try:
        return read_class_names(path)
    except ValueError as error:
        raise UserError(str(error)) from error


def read_table(path: Path) -> dict[int, Recording]:
    """The recordings in the label table, by the number of their line; their labels are text, as it has them.

    Raises:
        FileNotFoundError: the table does not exist.
        UserError: columns or fields are missing or duplicate, a clip is listed twice or is outside of
            ``src``, a split has another name, or the table is empty.
    """
    try:
        text = decode_text(read_bytes(path))
        delimiter = max(',;\t', key=text.partition('\n')[0].count)  # spreadsheets' depends on the language
        reader = csv.DictReader(StringIO(text, newline=''), delimiter=delimiter, strict=True)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        lines = [(reader.line_num, line) for line in reader]
    except (ValueError, csv.Error) as error:
        raise UserError(f'{path}: not a CSV table ({error})') from error
    columns = list(reader.fieldnames)
    if missing := [column for column in COLUMNS if column not in columns]:
        raise UserError(
            f'{path}: the header lacks {", ".join(missing)}; expected {",".join(COLUMNS)} and '
            f'optionally {",".join(OPTIONAL)}, found {",".join(columns)}'
        )
    if doubled := [name for name, count in Counter(columns).items() if count > 1]:
        raise UserError(f'{path}: the header has {", ".join(doubled)} twice')
    if not lines:
        raise UserError(f'{path}: no line below the header')
    rows: dict[int, Recording] = {}
    first: dict[str, int] = {}
    for number, line in lines:
        try:
            rows[number] = one = _parse_line(line)
            if first.setdefault(one.name, number) != number:
                raise UserError(f'clip {one.path} is also in line {first[one.name]}')
        except ValueError as error:
            raise UserError(f'{path}, line {number}: {error}') from error
    return rows


def _parse_line(line: Mapping[Any, Any]) -> Recording:
    comma = 'a field with a comma must be quoted'
    if None in line:
        raise UserError(f'more fields than the header has; {comma}')
    fields = {column: (line.get(column) or '').strip() for column in (*COLUMNS, *OPTIONAL)}
    if empty := [column for column in COLUMNS if not fields[column]]:
        raise UserError(f'no {", ".join(empty)}')
    splits = tuple(dict.fromkeys(fields['split'].split()))
    if wrong := [split for split in splits if not re.fullmatch(SPLIT, split)]:
        raise UserError(
            f'split {wrong[0]!r}, expected train, val or test, or a name such as xsub_train; {comma}'
        )
    clip = Path(fields['clip'])
    if clip.is_absolute() or '..' in clip.parts or not fields['clip'].isprintable():
        raise UserError(f'clip {fields["clip"]!r} is not a path below the directory of the recordings')
    if unprintable := [value for value in fields.values() if not value.isprintable()]:
        raise UserError(f'{unprintable[0]!r} contains control characters')
    stated = [fields[column] for column in PICTURE]
    picture = _picture(stated) if any(stated) else None
    return Recording(
        _clip_name(fields['clip']), clip, fields['label'], fields['subject'] or None, splits, picture
    )


def _picture(sizes: Sequence[Any]) -> tuple[int, int]:
    """The (height, width) of an image.

    Raises:
        UserError: it is something else.
    """
    numbers = [int(size) for size in map(str, sizes) if re.fullmatch(INDEX, size)]
    if len(numbers) != 2 or len(sizes) != 2 or not all(numbers):
        raise UserError(f'expected the height and width of the image in pixels, found {sizes}')
    return numbers[0], numbers[1]


def _clip_name(path: str) -> str:
    return Path(path).as_posix().removesuffix(Path(path).suffix)


def _number_classes(
    path: Path, rows: Mapping[int, Recording], classes: Sequence[str] | None
) -> tuple[list[int], list[str] | None]:
    """The class index of each line, and the classes' names, if they are known."""
    labels = {line: str(recording.label) for line, recording in rows.items()}
    if classes is None:
        numeric = [line for line, label in labels.items() if re.fullmatch(INDEX, label)]
        if len(numeric) == len(labels):
            return list(map(int, labels.values())), None
        if numeric:
            label = labels[numeric[0]]
            raise UserError(f'{path}, line {numeric[0]}: label {label}, while others are names')
        classes = sorted({*labels.values()})
        _check_spelling(path, labels)
    index_of = {key: index for index, name in enumerate(classes) for key in (name, str(index))}
    for line, label in labels.items():
        if label not in index_of:
            raise UserError(f'{path}, line {line}: label {label!r} is not one of the {len(classes)} classes')
    return [index_of[label] for label in labels.values()], list(classes)


def _check_spelling(path: Path, labels: Mapping[int, str]) -> None:
    """Reject one class that is written in two ways, which would become two classes."""
    known: dict[str, int] = {}
    for line, label in labels.items():
        first = known.setdefault(' '.join(normalize('NFKC', label).casefold().split()), line)
        if labels[first] != label:
            raise UserError(
                f'{path}, line {line}: label {label!a}, but {labels[first]!a} in line {first}; if they are '
                'two classes, list both by --classes'
            )


def read_recording(
    recording: Recording, skeleton: Skeleton, img_shape: tuple[int, int] | None = None
) -> Recording:
    """Read one clip by :func:`read_own`; the third coordinate of a flat layout is a score.

    Args:
        recording: one of :func:`scan`'s.
        skeleton: the layout.
        img_shape: (height, width) of the image, if neither the recording nor the file has it.

    Returns:
        The clip, (M, T, V, C). Scores in addition to three coordinates are dropped and counted.

    Raises:
        ValueError: as :func:`read_own`, or the label table has a different image size.
    """
    picture = recording.img_shape or img_shape
    clip = _in_layout(read_own(recording.path, picture, lambda _: skeleton.num_joints), skeleton)
    if None not in (clip.img_shape, recording.img_shape) and clip.img_shape != recording.img_shape:
        raise UserError(f'img_shape is {clip.img_shape}, but the label table has {recording.img_shape}')
    clip = replace(clip, label=recording.label, img_shape=clip.img_shape or picture)
    return _with_scores_apart(clip, skeleton)


def likely_joints(columns: int) -> int:
    """The number of joints in a table: that of a known layout, else that of joints in 3D or else 2D."""
    counts = {skeleton.num_joints for skeleton in SKELETONS.values()}
    fitting = [columns // channels for channels in (3, 2) if columns and columns % channels == 0]
    if not fitting:
        raise UserError(f'{columns} columns, expected x, y(, z) of each joint')
    return next((joints for joints in fitting if joints in counts), fitting[0])


def read_own(
    path: Path,
    img_shape: tuple[int, int] | None = None,
    num_joints: Callable[[int], int] = likely_joints,
) -> Recording:
    """Read one clip from a file of no particular data set.

    * a file of an estimator of poses, or a folder of one file for each frame;
    * ``.npy``: an array (T, V, C) or (M, T, V, C);
    * ``.npz``: the same under the key ``keypoint``, and optionally ``keypoint_score`` (T, V) or (M, T, V) and
      ``img_shape`` (height, width);
    * ``.csv``: one line per frame, joint after joint: x, y, z of joint 0, of joint 1, ...; a header may come
      first. One person.

    C is 2 or 3. Joints and persons that are absent are all zero.

    Args:
        path: the file.
        img_shape: (height, width) of the image, for joints in fractions of it.
        num_joints: V, by the number of columns of a table whose header does not tell it.

    Returns:
        The clip, without label; with the layout if the file tells it.

    Raises:
        ValueError: the file has the wrong type or is damaged, or its contents have the wrong shape.
    """
    path = whole(path)
    readers: dict[str, Read] = {**READERS, '.csv': partial(_read_csv, num_joints=num_joints)}
    return reader_of(path, readers)(path, img_shape)


def _in_layout(clip: Recording, skeleton: Skeleton) -> Recording:
    """An estimator's clip in the layout of the data set; other files do not tell theirs."""
    if clip.layout is None:
        return clip
    source = get_skeleton(clip.layout)
    if skeleton.flat and clip.keypoint.shape[-1] > 2:
        raise UserError(f'joints in space of layout {source.name!r}, while layout {skeleton.name!r} is flat')
    return replace(clip.converted(source, skeleton), layout=skeleton.name)


def _with_scores_apart(clip: Recording, skeleton: Skeleton) -> Recording:
    """A clip of a flat layout as (x, y) and scores; one of three coordinates without scores."""
    keypoint, score = clip.keypoint, clip.keypoint_score
    if keypoint.shape[-1] == 2:
        return clip
    if not skeleton.flat:
        left_out = {} if score is None else {'confidences of joints left out': score.size}
        return replace(clip, keypoint_score=None, counts={**clip.counts, **left_out})
    if score is not None:
        raise UserError(f'layout {skeleton.name!r} is flat; expected x, y and score, found also z')
    return clip.scores_apart()


def _read_numpy(path: Path, *_: Any) -> Recording:
    content = load_arrays(path)
    arrays = content if isinstance(content, dict) else {'keypoint': content}
    if 'keypoint' not in arrays:
        raise UserError(f"expected the key 'keypoint' in a .npz file, found {sorted(arrays)}")
    shape = arrays.get('img_shape')
    picture = None if shape is None else _picture(shape.tolist() if shape.ndim == 1 else [shape])
    clip = Recording(keypoint=arrays['keypoint'], keypoint_score=arrays.get('keypoint_score')).shaped()
    if clip.keypoint.shape[3] not in CHANNELS:
        raise UserError(f'expected 2 or 3 coordinates a joint, found shape {clip.keypoint.shape}')
    score = None if clip.keypoint_score is None else as_float32(clip.keypoint_score)
    return replace(clip, keypoint=as_float32(clip.keypoint), keypoint_score=score, img_shape=picture)


def _read_csv(
    path: Path, img_shape: tuple[int, int] | None, num_joints: Callable[[int], int] = likely_joints
) -> Recording:
    """The columns of a joint are those that the header names, or else follow from their number."""
    names, numbers = one_line_per_frame(parse_table(decode_text(read_bytes(path))))
    pattern = None if names is None else joint_columns(names)
    if pattern is None:
        joints = _group(numbers, num_joints)
    else:
        joints = numbers.reshape(1, len(numbers), numbers.shape[1] // len(pattern), len(pattern))
    (joints, missing), score = _absent_as_zero(joints), None
    if pattern is not None and pattern[-1] == 'score':
        joints, score = joints[..., :-1], joints[..., -1]
    landmarks = clip_of_table(joints, score, img_shape)
    if landmarks is not None:
        return landmarks
    return Recording(
        keypoint=as_float32(joints),
        counts={'missing joints set to zero': missing},
        keypoint_score=None if score is None else as_float32(score),
        joints=() if pattern is None else joint_names(names or (), len(pattern)),
        regroup=pattern is None,
    )


def _group(numbers: np.ndarray, num_joints: Callable[[int], int]) -> np.ndarray:
    """(1, T, V, C) out of the columns (T, V * C) of a table."""
    num_frames, width = numbers.shape
    joints = num_joints(width)
    allowed = [channels * joints for channels in CHANNELS]
    if num_frames and width not in allowed:
        raise UserError(
            f'{width} columns, expected {allowed[0]} or {allowed[1]} ({joints} joints of 2 or 3 '
            'coordinates), or a header that names them x, y(, z)(, score) of each joint'
        )
    return numbers.reshape(1, num_frames, joints, -1) if num_frames else np.empty((1, 0, joints, 3))


def _absent_as_zero(joints: np.ndarray) -> tuple[np.ndarray, int]:
    """Set joints without any number to zero; returns the joints and how many were missing."""
    lacking = np.isnan(joints)
    absent = lacking.all(-1)
    partly = np.argwhere(lacking.any(-1) & ~absent)
    if len(partly):
        _, frame, joint = partly[0]
        raise UserError(
            f'frame {frame}, joint {joint}: some of its numbers are missing; leave all fields of a '
            'missing joint empty'
        )
    return np.where(absent[..., None], 0, joints), int(absent.sum())


READERS: dict[str, Read] = {
    **ESTIMATED,
    **dict.fromkeys(('.npy', '.npz'), _read_numpy),
    '.csv': _read_csv,
}
"""The readers of files of no particular data set, by the ends of their names."""

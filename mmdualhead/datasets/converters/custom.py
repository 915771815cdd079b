"""One's own recordings: a file for each clip (.npy, .npz or .csv) and a table of labels.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.skeletons import SKELETONS, get_skeleton
from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.files import check_regular

from .files import list_files
from .recording import Clip, ConversionError, RawDataset, Recording, as_float32

COLUMNS = ('clip', 'label', 'split')
SPLIT = r'([\w.-]+_)?(train|val|test)'
CHANNELS = (2, 3)
NUMBER = r'\s*([-+]?[.\d]|[-+]?(nan|inf)\b)'
"""How a line of numbers begins, and no heading line."""

# A label of more digits is a name.
MOST_DIGITS = 6


class LabeledClip(NamedTuple):
    """One line of the label table: its number, the clip's file, its class as an index or a name, ..."""

    line: int
    clip: str
    label: str
    splits: tuple[str, ...]
    subject: str | None


def scan(
    src: str | Path,
    labels: str | Path,
    layout: str,
    name: str = 'custom',
    classes: str | Path | None = None,
) -> RawDataset:
    """Find the clips that a label table lists.

    The table is CSV with a heading line ``clip,label,split`` and optionally ``subject``: the clip's file
    (relative to ``src``), its class as an index from 0 or as a name, and its split, ``train``, ``val`` or
    ``test``; for several protocols in one table several of them, separated by spaces
    (``xsub_train xview_val``).

    Args:
        src: directory of the clips.
        labels: the table.
        layout: name of a layout, or a JSON file with the definition of one's own.
        name: what to call the data set.
        classes: a file with a name in each line, in the order of the class indices. Without it, names in the
            table are sorted and numbered; a table of indices needs none.

    Returns:
        The recordings, and the files in the directory that the table does not list.

    Raises:
        FileNotFoundError: the directory, the table, the layout or the classes are absent.
        ConversionError: one of them breaks its format; names the line.
    """
    labels = Path(labels)
    files = list_files(src)
    definition = _read_layout(layout)
    rows = read_table(labels)
    indices, names = _number_classes(labels, rows, None if classes is None else _read_classes(Path(classes)))
    recordings = [
        Recording(_clip_name(row.clip), Path(src) / row.clip, index, row.subject, row.splits)
        for row, index in zip(rows, indices, strict=True)
    ]
    own = {recording.path for recording in recordings} | {labels}
    unlisted = [path for path in files if path.suffix in READERS and path not in own]
    return RawDataset(
        meta=dict(dataset=name, layout=definition, classes=names),
        recordings=recordings,
        read=partial(read_recording, num_joints=get_skeleton(definition).num_joints),
        left_out={_clip_name(str(path.relative_to(src))): 'not in the label table' for path in unlisted},
    )


def _read_text(path: Path) -> str:
    check_regular(path)
    text = path.read_text(encoding='utf-8-sig')
    if '\0' in text:
        raise ValueError('it holds NUL bytes')
    return text


def _read_layout(layout: str) -> str | dict[str, Any]:
    """A layout's name as it is, or the definition out of a JSON file."""
    if layout in SKELETONS:
        return layout
    if not Path(layout).exists():
        raise FileNotFoundError(f'layout {layout}: neither a file nor one of {", ".join(sorted(SKELETONS))}')
    try:
        definition = json.loads(_read_text(Path(layout)))
        get_skeleton(definition)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConversionError(f'layout {layout}: {error}') from error
    return definition


def _read_classes(path: Path) -> list[str]:
    """The class names in a file, one per line; empty lines at its end don't count."""
    try:
        names = [line.strip() for line in _read_text(path).rstrip().splitlines()]
    except ValueError as error:
        raise ConversionError(f'{path}: not a list of class names ({error})') from error
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if not name:
            fault = 'no name of a class'
        elif first.setdefault(name, index) != index:
            fault = f'class {name} stands in line {first[name] + 1}, too'
        elif name.isdecimal() and int(name) != index:
            fault = f'class {index} is named {name}, another number'
        else:
            continue
        raise ConversionError(f'{path}, line {index + 1}: {fault}')
    return names


def read_table(path: Path) -> list[LabeledClip]:
    """The lines of the label table.

    Raises:
        FileNotFoundError: the table does not exist.
        ConversionError: columns or fields are missing or doubled, a clip is listed twice or lies elsewhere, a
            split has another name, or the table is empty.
    """
    try:
        reader = csv.DictReader(StringIO(_read_text(path), newline=''))
        lines = [(reader.line_num, line) for line in reader]
    except (ValueError, csv.Error) as error:
        raise ConversionError(f'{path}: not a CSV table ({error})') from error
    columns = list(reader.fieldnames or ())
    if missing := [column for column in COLUMNS if column not in columns]:
        raise ConversionError(
            f'{path}: the heading line lacks {", ".join(missing)}; expected clip,label,split and optionally '
            f'subject, found {",".join(columns)}'
        )
    if doubled := [name for name, count in Counter(columns).items() if count > 1]:
        raise ConversionError(f'{path}: the heading line has {", ".join(doubled)} twice')
    if not lines:
        raise ConversionError(f'{path}: no line below the heading')
    rows: dict[str, LabeledClip] = {}
    for number, line in lines:
        try:
            row = _parse_line(number, line)
            first = rows.setdefault(_clip_name(row.clip), row)
            if first is not row:
                raise ValueError(f'clip {row.clip} stands in line {first.line}, too')
        except ValueError as error:
            raise ConversionError(f'{path}, line {number}: {error}') from error
    return list(rows.values())


def _parse_line(number: int, line: Mapping[Any, Any]) -> LabeledClip:
    comma = 'a comma within a field needs quotation marks around the field'
    if None in line:
        raise ValueError(f'more fields than the heading line has; {comma}')
    fields = {column: (line.get(column) or '').strip() for column in (*COLUMNS, 'subject')}
    if empty := [column for column in COLUMNS if not fields[column]]:
        raise ValueError(f'no {", ".join(empty)}')
    splits = tuple(dict.fromkeys(fields['split'].split()))
    if wrong := [split for split in splits if not re.fullmatch(SPLIT, split)]:
        raise ValueError(f'split {wrong[0]!r}, expected train, val or test, or such as xsub_train; {comma}')
    clip = Path(fields['clip'])
    if clip.is_absolute() or '..' in clip.parts or not fields['clip'].isprintable():
        raise ValueError(f'clip {fields["clip"]!r} is not a path below the directory of the recordings')
    return LabeledClip(number, fields['clip'], fields['label'], splits, fields['subject'] or None)


def _clip_name(path: str) -> str:
    return Path(path).as_posix().removesuffix(Path(path).suffix)


def _number_classes(
    path: Path, rows: Sequence[LabeledClip], classes: Sequence[str] | None
) -> tuple[list[int], list[str] | None]:
    """The class index of each line, and the classes' names, if they are known."""
    if classes is None:
        numeric = [row.label.isdecimal() and len(row.label) <= MOST_DIGITS for row in rows]
        if all(numeric):
            return [int(row.label) for row in rows], None
        if any(numeric):
            row = rows[numeric.index(True)]
            raise ConversionError(f'{path}, line {row.line}: label {row.label}, while others are names')
        classes = sorted({row.label for row in rows})
    index_of = {key: index for index, name in enumerate(classes) for key in (name, str(index))}
    for row in rows:
        if row.label not in index_of:
            raise ConversionError(
                f'{path}, line {row.line}: label {row.label!r} is none of the {len(classes)} classes'
            )
    return [index_of[row.label] for row in rows], list(classes)


def read_recording(recording: Recording, num_joints: int) -> Clip:
    """Read one clip.

    * ``.npy``: an array (T, V, C) or (M, T, V, C);
    * ``.npz``: the same under the key ``keypoint``;
    * ``.csv``: one line per frame, joint after joint: x, y, z of joint 0, of joint 1, ...; a heading line may
      come first. One person.

    C is 2 or 3. Joints and persons that are absent are all zero.

    Args:
        recording: one of :func:`scan`'s.
        num_joints: V of the layout.

    Returns:
        The clip, (M, T, V, C).

    Raises:
        ValueError: the file is of another kind or damaged, or its contents are of another shape.
    """
    suffix = recording.path.suffix
    if suffix not in READERS:
        raise ValueError(f'files end with {", ".join(READERS)}, this one with {suffix!r}')
    numbers = READERS[suffix](recording.path, num_joints)
    if numbers.dtype.kind not in 'fiu' or numbers.ndim not in (3, 4):
        raise ValueError(
            f'expected numbers of shape (T, V, C) or (M, T, V, C), found {numbers.dtype} {numbers.shape}'
        )
    keypoint = as_float32(numbers if numbers.ndim == 4 else numbers[None])
    if keypoint.shape[3] not in CHANNELS:
        raise ValueError(f'expected 2 or 3 coordinates a joint, found shape {keypoint.shape}')
    return Clip(keypoint, recording.label)


def _read_numpy(path: Path, _: int) -> np.ndarray:
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        return loaded
    if 'keypoint' not in loaded:
        raise ValueError(f"expected the key 'keypoint' in a .npz file, found {sorted(loaded)}")
    return loaded['keypoint']


def _read_csv(path: Path, num_joints: int) -> np.ndarray:
    content = path.read_bytes().decode('utf-8-sig', 'replace')
    lines = [line for line in content.splitlines() if line.strip()]
    if lines and not re.match(NUMBER, lines[0]):
        lines = lines[1:]
    widths = [line.count(',') + 1 for line in lines]
    allowed = [channels * num_joints for channels in CHANNELS]
    wrong = next((i for i, width in enumerate(widths) if width not in allowed or width != widths[0]), None)
    if wrong is not None:
        raise ValueError(
            f'frame {wrong}: {widths[wrong]} columns, expected {allowed[0]} or {allowed[1]} '
            f'({num_joints} joints of 2 or 3 coordinates), the same in all frames'
        )
    numbers = np.array([[float(field) for field in line.split(',')] for line in lines])
    return numbers.reshape(len(lines), num_joints, -1 if lines else CHANNELS[-1])


READERS: dict[str, Callable[[Path, int], np.ndarray]] = {
    '.npy': _read_numpy,
    '.npz': _read_numpy,
    '.csv': _read_csv,
}

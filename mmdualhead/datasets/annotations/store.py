"""An annotation file that stays on disk: arrays and an index, read clip by clip.

``NAME.store/`` holds ``meta.json``, one record per clip (``clips.bin``), the keypoints and scores of all
clips one after the other (``keypoint.bin``, ``score.bin``), the other fields as JSON (``info.bin``) and for
each split the positions of its clips (``split-0.npy``, ...). It means the same as the pickle
``dict(split=..., annotations=...)``; tuples come back as lists.

The index is mapped. The clips are read by position, which leaves them in the operating system's page cache,
where all workers share them, while the pages of a mapping would count as resident memory of every process
that touched them. M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.annotations.checks import (
    SHOWN,
    AnnotationError,
    ClipTable,
    Finding,
    entry_faults,
    is_integer,
    mean_square,
    plural,
    unscored_clips,
)

FORMAT = 'mmdualhead-store'
VERSION = 1
NO_SCORE = -1
READ_ONLY = os.O_RDONLY | getattr(os, 'O_BINARY', 0)
# Where a clip's keypoints, scores and other fields start in their files, their size, label, shape, power.
RECORD = struct.Struct('<qqqiiiiiid')
INDEX = np.dtype(
    [
        *(('keypoint', '<i8'), ('score', '<i8'), ('info', '<i8')),
        *(('info_size', '<i4'), ('label', '<i4'), ('shape', '<i4', 4), ('power', '<f8')),
    ]
)
BINARIES = ('clips', 'keypoint', 'score', 'info')


class StoreWriter:
    """Writes a store clip by clip; the store appears under its name once it is whole.

    Use it as a context manager: an exception, or leaving without :meth:`close`, leaves nothing behind.

    Args:
        path: the directory to make, ``NAME.store``. One that is there is replaced at the end.
        meta: what is to be known of all clips, e.g. ``dict(dataset='utd_mhad', layout='kinect_v1')``.
        dtype: how coordinates are stored; ``float16`` halves the store and rounds to 3 digits.
    """

    def __init__(
        self, path: str | Path, meta: Mapping[str, Any] | None = None, dtype: str = 'float32'
    ) -> None:
        self.path = Path(path)
        self.meta = dict(meta or {})
        self._dtype = np.dtype(dtype)
        self._positions: dict[str, int] = {}
        self._folder = self.path.with_name(f'{self.path.name}.tmp-{os.getpid()}')
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._files = {name: open(self._folder / f'{name}.bin', 'wb') for name in BINARIES}  # noqa: SIM115

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Append one clip.

        Args:
            annotation: frame_dir, label, keypoint (M, T, V, C), optionally keypoint_score (M, T, V) and
                fields that JSON can hold.

        Raises:
            ValueError: a field is missing or malformed, or the name was there before.
        """
        name = annotation.get('frame_dir')
        for what, expected, found in entry_faults(annotation):
            raise ValueError(f'{self.path}, clip {name!r}, field {what}: expected {expected}, found {found}')
        if name in self._positions:
            raise ValueError(f'{self.path}: a second clip named {name!r}')
        keypoint = np.ascontiguousarray(annotation['keypoint'], self._dtype)
        score = annotation.get('keypoint_score')
        info = json.dumps(_other_fields(annotation), default=_plain).encode()
        record = RECORD.pack(
            self._append('keypoint', keypoint),
            NO_SCORE if score is None else self._append('score', np.ascontiguousarray(score, self._dtype)),
            self._append('info', info),
            len(info),
            int(annotation['label']),
            *keypoint.shape,
            mean_square(keypoint),
        )
        self._append('clips', record)
        self._positions[str(name)] = len(self._positions)

    def _append(self, name: str, data: Any) -> int:
        """Where the data went."""
        start = self._files[name].tell()
        self._files[name].write(data)
        return start

    def close(self, split: Mapping[str, Iterable[str]]) -> None:
        """Write the splits and give the store its name.

        Args:
            split: the names of each split's clips.

        Raises:
            ValueError: a split names clips that were not added.
        """
        for index, (name, names) in enumerate(split.items()):
            names = set(names)
            unknown = [clip for clip in names if clip not in self._positions]
            if unknown:
                raise ValueError(
                    f'{self.path}: split {name!r} names {plural(len(unknown), "clip")} that were not added: '
                    f'{sorted(unknown)[:SHOWN]}'
                )
            positions = sorted(self._positions[clip] for clip in names)
            np.save(self._folder / f'split-{index}.npy', np.array(positions, np.int64))
        sizes = {f'{name}.bin': file.tell() for name, file in self._files.items()}
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        header = dict(format=FORMAT, version=VERSION, dtype=self._dtype.name)
        header |= dict(clips=len(self._positions), splits=list(split), sizes=sizes, meta=self.meta)
        (self._folder / 'meta.json').write_text(json.dumps(header, indent=1, default=_plain))
        _replace(self._folder, self.path)

    def abort(self) -> None:
        """Throw away what was written."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def write_store(path: str | Path, data: Mapping[str, Any], dtype: str = 'float32') -> None:
    """Write annotations in memory, ``dict(split=..., annotations=..., meta=...)``, as a store."""
    with StoreWriter(path, data.get('meta'), dtype) as writer:
        for annotation in data['annotations']:
            writer.add(annotation)
        writer.close(data['split'])


def open_store(path: str | Path) -> Store:
    """Open a store.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it is not a store, of another version, or files of it are missing or of the wrong size.
    """
    return Store(path)


class Store(Sequence):
    """A store as a sequence of annotations, each read when it is asked for.

    Attributes:
        path: the directory.
        meta: what the writer was told of all clips.
        splits: names of the splits.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._descriptors: dict[str, int] = {}
        if not self.path.is_dir():
            raise FileNotFoundError(f'{self.path}: no such store')
        try:
            header = json.loads((self.path / 'meta.json').read_text())
            self._dtype = np.dtype(header['dtype'])
            self._clips, self.splits, self.meta = header['clips'], header['splits'], header['meta']
            version, sizes = (header['format'], header['version']), header['sizes']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnnotationError(
                f'{self.path} is not a store: meta.json: {type(error).__name__}: {error}'
            ) from None
        if version != (FORMAT, VERSION):
            raise AnnotationError(f'{self.path}: expected {FORMAT} version {VERSION}, found {version}')
        for name, size in sizes.items():
            found = (self.path / name).stat().st_size if (self.path / name).exists() else 'no such file'
            if found != size:
                raise AnnotationError(f'{self.path}: {name} should have {size} bytes, found {found}')

    def __len__(self) -> int:
        return self._clips

    def __getitem__(self, position: Any) -> Any:
        position = range(self._clips)[position]
        record = RECORD.unpack(self._read('clips', RECORD.size, position * RECORD.size))
        keypoint, score, info, info_size, label, *shape, _ = record
        annotation = json.loads(self._read('info', info_size, info))
        annotation |= dict(
            label=label, total_frames=shape[1], keypoint=self._array('keypoint', keypoint, shape)
        )
        if score != NO_SCORE:
            annotation['keypoint_score'] = self._array('score', score, shape[:3])
        return annotation

    def _array(self, name: str, start: int, shape: Sequence[int]) -> np.ndarray:
        size = int(np.prod(shape)) * self._dtype.itemsize
        return np.frombuffer(self._read(name, size, start), self._dtype).reshape(shape).copy()

    def _read(self, name: str, size: int, start: int) -> bytes:
        if name not in self._descriptors:
            self._descriptors[name] = os.open(self.path / f'{name}.bin', READ_ONLY)
        data = _read_at(self._descriptors[name], size, start)
        if len(data) < size:
            raise ValueError(f'{self.path}: {name}.bin ends before byte {start + size}')
        return data

    def __del__(self) -> None:
        for descriptor in getattr(self, '_descriptors', {}).values():
            os.close(descriptor)

    def __reduce__(self) -> tuple:
        return open_store, (self.path,)

    def positions(self, split: str) -> np.ndarray:
        """The positions of a split's clips, mapped from disk."""
        return np.load(self.path / f'split-{self.splits.index(split)}.npy', mmap_mode='r')

    def select(self, split: str) -> StoreClips:
        """The annotations of a split."""
        return StoreClips(self, self.positions(split))

    def split_faults(self, split: str, others: Sequence[str]) -> list[Finding]:
        """Clips that ``others`` hold, too; the writer let no other fault through."""
        faults = []
        for other in others:
            both = np.intersect1d(self.positions(split), self.positions(other))
            named = tuple((self[position]['frame_dir'], 'in both') for position in both[:SHOWN])
            faults.append(Finding('split', f'no clip in both {split!r} and {other!r}', named, len(both)))
        return [fault for fault in faults if fault.count]

    def table(self, clips: StoreClips, multi_class: bool = False) -> tuple[ClipTable, list[Finding]]:
        """The table of selected clips, out of the index."""
        if multi_class:
            raise AnnotationError(
                f'{self.path}: a store holds one class per clip, multi_class=True needs a pickle'
            )
        index = clips.index
        unscored = unscored_clips(index['score'] != NO_SCORE, lambda row: clips[row]['frame_dir'])
        return ClipTable(index['label'], index['shape'], index['power']), unscored


class StoreClips(Sequence):
    """Some clips of a store.

    Args:
        store: the store.
        positions: (n,) which clips, in which order.
    """

    def __init__(self, store: Store, positions: np.ndarray) -> None:
        self.store = store
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> Any:
        """One annotation, or for a slice, array of indices or mask, a part of the clips."""
        if is_integer(index):
            return self.store[int(self.positions[index])]
        return StoreClips(self.store, self.positions[index])

    @property
    def index(self) -> np.ndarray:
        """The records of the clips."""
        return np.memmap(self.store.path / 'clips.bin', INDEX, mode='r')[self.positions]

    def names(self) -> list[str]:
        """The names of the clips, without reading their keypoints."""
        info = (self.store.path / 'info.bin').read_bytes()
        places = zip(self.index['info'].tolist(), self.index['info_size'].tolist(), strict=True)
        return [str(json.loads(info[start : start + size])['frame_dir']) for start, size in places]

    def __deepcopy__(self, _: dict) -> StoreClips:
        """Nothing in here changes, so copies of a data set share it."""
        return self


def _read_at(descriptor: int, size: int, start: int) -> bytes:
    if hasattr(os, 'pread'):
        return os.pread(descriptor, size, start)
    # Windows has no pread, and no fork after which processes would share the place in a file.
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, size)


def _other_fields(annotation: Mapping[str, Any]) -> dict[str, Any]:
    held = {'label', 'total_frames', 'keypoint', 'keypoint_score'}
    return {key: value for key, value in annotation.items() if key not in held}


def _plain(value: Any) -> Any:
    """Arrays and numpy's numbers as JSON can hold them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a store can't hold a {type(value).__name__}: {value!r}")


def _replace(source: Path, target: Path) -> None:
    """Move a directory where another may be, which goes last."""
    old = target.with_name(f'{target.name}.old-{os.getpid()}')
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)

"""An annotation file that stays on disk: arrays and an index, read clip by clip.

``NAME.store/`` contains ``meta.json``, one record per clip (``clips.bin``), the keypoints and scores of all
clips one after the other (``keypoint.bin``, ``score.bin``), the other fields as JSON (``info.bin``), for each
split the positions of its clips (``split-0.npy``, ...) and CRC-32 checksums: of each clip in ``crc.bin``, of
the other files in ``meta.json``. It is equivalent to the pickle ``dict(split=..., annotations=...)``; tuples
come back as lists.

The index is mapped. The clips are read by position, which leaves them in the operating system's page cache,
where all workers share them, while the pages of a mapping would count as resident memory of every process
that touched them. A process compares each clip with its checksum when it first reads it.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from mmdualhead.datasets.annotations.checks import check_meta
from mmdualhead.datasets.annotations.clip_files import (
    BINARIES,
    CRC_SIZE,
    FORMAT,
    INDEX,
    NO_SCORE,
    VERSION,
    ClipFiles,
    checksum_of,
    header_checksum,
    part_sizes,
)
from mmdualhead.datasets.annotations.clips import (
    ClipFacts,
    Clips,
    ClipTable,
    entry_faults,
    is_integer,
    unscored_clips,
)
from mmdualhead.datasets.annotations.splits import in_both
from mmdualhead.errors import Finding, Level, UserError
from mmdualhead.utils.files import name_in_errors
from mmdualhead.utils.reading import read_json
from mmdualhead.utils.text import SHOWN, plural

HUGE = 2**56  # more elements than a file can have
READ_ONLY = os.O_RDONLY | getattr(os, 'O_BINARY', 0)


class StoreWriter:
    """Writes a store clip by clip; the store gets its name once it is complete.

    Use it as a context manager: an exception, or leaving without :meth:`close`, leaves no files behind.

    Args:
        path: the directory to make, ``NAME.store``. An existing one is replaced at the end.
        meta: the metadata of all clips, e.g. ``dict(dataset='utd_mhad', layout='kinect_v1')``.
        dtype: how coordinates are stored; ``float16`` halves the store and rounds to 3 digits.
    """

    def __init__(
        self, path: str | Path, meta: Mapping[str, Any] | None = None, dtype: str = 'float32'
    ) -> None:
        self.path = Path(path)
        self.meta = dict(meta or {})
        self._positions: dict[str, int] = {}
        folder = self.path.with_name(f'{self.path.name}.tmp-{os.getpid()}')
        shutil.rmtree(folder, ignore_errors=True)
        self._clips = ClipFiles(folder, dtype)

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Append one clip.

        Args:
            annotation: frame_dir, label, keypoint (M, T, V, C), optionally keypoint_score (M, T, V) and
                fields that JSON can represent.

        Raises:
            ValueError: a field is missing or malformed, or the name is a duplicate.
        """
        name = annotation.get('frame_dir')
        if name is None and 'filename' in annotation:
            raise UserError(
                f'{self.path}, clip {annotation["filename"]!r}: a store needs the field frame_dir'
            )
        for what, expected, found in entry_faults(annotation):
            raise UserError(f'{self.path}, clip {name!r}, field {what}: expected {expected}, found {found}')
        if name in self._positions:
            raise UserError(f'{self.path}: a second clip named {name!r}')
        self._clips.append(annotation)
        self._positions[str(name)] = len(self._positions)

    def close(self, split: Mapping[str, Iterable[str]]) -> None:
        """Write the splits and give the store its name.

        Args:
            split: the names of each split's clips.

        Raises:
            ValueError: a split names clips that were not added.
        """
        positions = {}
        for name, names in split.items():
            names = set(names)
            unknown = [clip for clip in names if clip not in self._positions]
            if unknown:
                raise UserError(
                    f'{self.path}: split {name!r} names {plural(len(unknown), "clip")} that were not added: '
                    f'{sorted(unknown)[:SHOWN]}'
                )
            positions[name] = [self._positions[clip] for clip in names]
        self._clips.finish(positions, self.meta)
        replace_folder(self._clips.folder, self.path)

    def abort(self) -> None:
        """Discard the clips that were written."""
        self._clips.close()
        shutil.rmtree(self._clips.folder, ignore_errors=True)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def write_store(path: str | Path, data: Mapping[str, Any], dtype: str = 'float32') -> None:
    """Write annotations in memory, ``dict(split=..., annotations=..., meta=...)``, as a store."""
    with name_in_errors(path), StoreWriter(path, data.get('meta'), dtype) as writer:
        for annotation in data['annotations']:
            writer.add(annotation)
        writer.close(data['split'])


class Store(Sequence):
    """A store as a sequence of annotations, each read on access.

    Args:
        path: the directory.

    Attributes:
        kind: its name for users.
        path: the directory.
        meta: the metadata of all clips.
        splits: names of the splits.

    Raises:
        FileNotFoundError: the directory does not exist.
        ValueError: it is not a store, has another version, or its files are missing, of the wrong size, or
            contradict each other.
    """

    kind = 'store'

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._descriptors: dict[str, int] = {}
        self._compared = False
        if not self.path.is_dir():
            raise FileNotFoundError(f'{self.path}: no such store')
        try:
            self._header = header = read_json(self.path / 'meta.json')
            self._dtype = np.dtype(header['dtype'])
            self._clips, self.splits = int(header['clips']), list(header['splits'])
            self.meta, sizes = check_meta(header['meta']), dict(header['sizes'])
            version = (header['format'], header['version'])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'{self.path} is not a store: meta.json: {type(error).__name__}: {error}'
            ) from None
        if version != (FORMAT, VERSION):
            raise UserError(f'{self.path}: expected {FORMAT} version {VERSION}, found {version}')
        for name in self._files():
            path = self.path / name
            found = path.stat().st_size if path.is_file() else 'no such file'
            if found != sizes.get(name, found) or not path.is_file():
                expected = f'{sizes[name]} bytes' if name in sizes else 'the positions of clips'
                raise UserError(f'{self.path}: {name} should have {expected}, found {found}')
        self._check_index(sizes)
        self._sound = bytearray(self._clips)

    def _files(self) -> list[str]:
        """The files that are read after the header; stores of earlier versions have no checksums of clips."""
        binaries = [f'{name}.bin' for name in BINARIES if name != 'crc' or 'checksums' in self._header]
        return binaries + [f'split-{i}.npy' for i in range(len(self.splits))]

    def _check_index(self, sizes: Mapping[str, int]) -> None:
        """Reject records of clips that are outside of the files."""
        index = self.records
        outside = (index['shape'] < 0).any(1)
        # Products of damaged sizes overflow.
        outside |= index['shape'].astype(np.float64).clip(1).prod(1) > HUGE
        for name, size in part_sizes(index, self._dtype).items():
            available = sizes.get(f'{name}.bin', 0)
            start = np.where(size == 0, 0, index[name])
            outside |= (start < 0) | (size < 0) | (start > available - size)
            if not outside.any():  # many clips at one position could take more memory than the file has bytes
                outside |= size.cumsum(dtype=np.float64) > available
        if len(index) != self._clips or outside.any():
            raise UserError(
                f'{self.path}: clips.bin is damaged: {plural(len(index), "record")}, expected {self._clips}; '
                f'{plural(int(outside.sum()), "record")} of clips outside of the files, of clip '
                f'#{outside.argmax()} first. Copy it or convert it again'
            )

    @property
    def records(self) -> np.ndarray:
        """The index, one record per clip, mapped from disk."""
        path = self.path / 'clips.bin'
        return np.memmap(path, INDEX, mode='r') if path.stat().st_size else np.empty(0, INDEX)

    def __len__(self) -> int:
        return self._clips

    def __getitem__(self, position: Any) -> Any:
        position = range(self._clips)[position]
        record = self._read('clips', np.empty(1, INDEX), position * INDEX.itemsize)
        keypoint, score, info, info_size, label, sizes, _ = record[0].item()
        shape = sizes.tolist()
        joints = self._read('keypoint', np.empty(shape, self._dtype), keypoint)
        scores = None
        if score != NO_SCORE:
            scores = self._read('score', np.empty(shape[:3], self._dtype), score)
        fields = self._read('info', np.empty(info_size, np.uint8), info)
        if not self._sound[position]:  # compared when it is first read
            if not self._is_sound(position, joints, scores, fields):
                raise UserError(f'{self.path}: clip #{position} has changed. Copy it or convert it again')
            self._sound[position] = True
        annotation = self._info(fields.tobytes())
        annotation |= dict(label=label, total_frames=shape[1], keypoint=joints)
        if score != NO_SCORE:
            annotation['keypoint_score'] = scores
        return annotation

    def _is_sound(self, position: int, *parts: Any) -> bool:
        """True if the bytes of a clip have their checksum, if there is one."""
        if 'checksums' not in self._header:
            return True
        checksum = self._read('crc', np.empty(CRC_SIZE, np.uint8), position * CRC_SIZE)
        return checksum_of(*parts) == checksum.tobytes()

    def _info(self, content: bytes) -> dict[str, Any]:
        """The fields of a clip that are not in the index."""
        try:
            info = json.loads(content)
        except (ValueError, RecursionError):
            info = None
        if not isinstance(info, dict):
            raise UserError(f'{self.path}: info.bin is damaged. Copy it or convert it again')
        return info

    def _read(self, name: str, array: np.ndarray, start: int) -> np.ndarray:
        """Fill an array with the bytes at a position in one of the files."""
        if name not in self._descriptors:
            self._descriptors[name] = os.open(self.path / f'{name}.bin', READ_ONLY)
        if array.nbytes and _read_at(self._descriptors[name], array, start) < array.nbytes:
            raise UserError(f'{self.path}: {name}.bin ends before byte {start + array.nbytes}')
        return array

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        for descriptor in getattr(self, '_descriptors', {}).values():
            close(descriptor)  # os.close itself may be gone when Python exits

    def __reduce__(self) -> tuple:
        return Store, (self.path,)

    def verify(self) -> list[Finding]:
        """Read everything and compare it with the checksums.

        Returns:
            An error for each file or clip that has changed since it was written, or the first few; a note if
            there are none, or no checksums, since an earlier version wrote the store.
        """
        if 'checksums' not in self._header:
            return [Finding(Level.NOTE, '', f'{self.path}: no checksums; write it again to add them')]
        damage = [f'{name} has changed' for name in self._changed_files()] or list(self._changed_clips())
        more = [f'... and {len(damage) - SHOWN:,} more'] if len(damage) > SHOWN else []
        return [Finding(Level.ERROR, str(self.path), line) for line in [*damage[:SHOWN], *more]] or [
            Finding(Level.NOTE, str(self.path), 'checksums compared')
        ]

    def _changed_files(self) -> list[str]:
        """Those of the header, the index and the splits that have changed since they were written."""
        checksums = self._header.get('checksums', {})
        wrong = (
            ['meta.json']
            if checksums and not header_checksum(self._header).items() <= self._header.items()
            else []
        )
        for name in self._files():
            if name in checksums and crc32((self.path / name).read_bytes()) != checksums[name]:
                wrong.append(name)
        return wrong

    def _changed_clips(self) -> Iterator[str]:
        for position, record in enumerate(self.records):
            parts = [
                self._read(name, np.empty(size, np.uint8), int(record[name]))
                for name, size in part_sizes(record, self._dtype).items()
            ]
            if self._is_sound(position, *parts):
                continue
            try:
                yield f'clip {self._info(parts[-1].tobytes())["frame_dir"]!r} has changed'
            except (ValueError, KeyError):
                yield f'clip #{position} has changed, including its name'

    def positions(self, split: str) -> np.ndarray:
        """The positions of a split's clips, mapped from disk.

        Raises:
            ValueError: they cannot be read, or are outside of the store.
        """
        path = self.path / f'split-{self.splits.index(split)}.npy'
        try:
            positions = np.load(path, mmap_mode='r')
            is_sound = positions.dtype.kind in 'iu' and positions.ndim == 1
        except Exception as error:  # NumPy raises many types of errors on damaged files
            raise UserError(f'{path} (split {split!r}) is damaged: {error}') from None
        if not is_sound or (positions < 0).any() or (positions >= self._clips).any():
            raise UserError(
                f'{path} (split {split!r}) is damaged: expected positions of clips, 0..{self._clips - 1}'
            )
        if not self._compared and (changed := self._changed_files()):
            raise UserError(f'{self.path}: {changed[0]} has changed. Copy it or convert it again')
        self._compared = True
        return positions

    def select(self, split: str | None) -> StoreClips:
        """The annotations of a split, or all annotations for None."""
        if split is not None:
            return StoreClips(self, self.positions(split))
        for one in self.splits:
            self.positions(one)  # refuses a damaged store
        return StoreClips(self, np.arange(len(self)))

    def split_faults(self, split: str, others: Sequence[str]) -> list[Finding]:
        """Clips that are also in ``others``; the writer has excluded all other faults."""
        found: list[Finding] = []
        for other in others:
            both = np.intersect1d(self.positions(split), self.positions(other))
            found += in_both(both.tolist(), lambda i: self[i]['frame_dir'], split, other)
        return found


open_store = Store


class StoreClips(Clips):
    """Selected clips of a store.

    Args:
        store: the store.
        positions: (n,) which clips, in which order.
    """

    in_memory = False

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
    def records(self) -> np.ndarray:
        """The records of the clips in the store's index."""
        return self.store.records[self.positions]

    def infos(self) -> Iterator[dict[str, Any]]:
        """The names and other fields of the clips, without their keypoints, classes and lengths."""
        info = (self.store.path / 'info.bin').read_bytes()
        for start, size in self.records[['info', 'info_size']].tolist():
            yield self.store._info(info[start : start + size])

    def table(self, multi_class: bool = False) -> tuple[ClipTable, list[Finding]]:
        """The table of the clips, from the index."""
        if multi_class:
            raise UserError(
                f'{self.store.path}: a store has one class per clip, multi_class=True needs a pickle'
            )
        index = self.records
        unscored = unscored_clips(index['score'] != NO_SCORE, lambda row: self[row]['frame_dir'])
        return ClipTable(index['label'], index['shape'], index['power']), unscored

    def facts(self) -> ClipFacts | None:
        """The metadata of the clips, from the index."""
        records, names = self.records, [info['frame_dir'] for info in self.infos()]
        return ClipFacts.of(names, records['label'], records['shape'][:, :2]) if names else None

    def __deepcopy__(self, _: dict) -> StoreClips:
        """It is immutable, so copies of a data set share it."""
        return self


def _read_at(descriptor: int, array: np.ndarray, start: int) -> int:
    """Fill an array from a position in a file; returns the number of bytes read."""
    if hasattr(os, 'preadv'):
        return os.preadv(descriptor, [array.data], start)
    # Windows has no preadv, and no fork, after which processes would share a file position.
    os.lseek(descriptor, start, os.SEEK_SET)
    content = os.read(descriptor, array.nbytes)
    array.view(np.uint8).reshape(-1)[: len(content)] = np.frombuffer(content, np.uint8)
    return len(content)


def replace_folder(source: Path, target: Path) -> None:
    """Move a folder to ``target``; an existing one is removed last."""
    old = target.with_name(f'{target.name}.old-{os.getpid()}')
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)

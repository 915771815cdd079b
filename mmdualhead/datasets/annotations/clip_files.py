"""The files of a store that contain its clips one after the other, to which clips are appended.

``clips.bin`` has one record per clip (:data:`INDEX`), ``keypoint.bin`` and ``score.bin`` the numbers,
``info.bin`` the other fields as JSON, ``crc.bin`` a CRC-32 of each clip. With a header and the splits
(:meth:`ClipFiles.finish`) they are a store. A clip counts once all of its bytes are written, so that a killed
process can be resumed after the last complete clip.

M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from mmdualhead.datasets.annotations.clips import mean_square

FORMAT = 'mmdualhead-store'
VERSION = 1
SUFFIX = '.store'
"""The end of the names of stores."""
NO_SCORE = -1
CRC_SIZE = 4
# The offsets of a clip's keypoints, scores and other fields in their files, and its metadata.
INDEX = np.dtype(
    [
        *(('keypoint', '<i8'), ('score', '<i8'), ('info', '<i8')),
        *(('info_size', '<i4'), ('label', '<i4'), ('shape', '<i4', 4), ('power', '<f8')),
    ]
)
PARTS = ('keypoint', 'score', 'info')
BINARIES = ('clips', *PARTS, 'crc')
INDEXED = {'label', 'total_frames', 'keypoint', 'keypoint_score'}
"""The fields of annotations that are not in ``info.bin``."""

Parts = tuple[Any, Any, bytes]
"""Keypoints, scores if there are any, and the other fields of a clip."""


class ClipFiles:
    """The files of clips in a folder.

    Args:
        folder: the folder; it is created.
        dtype: how coordinates are stored.
        known: label and shape of each existing clip to keep; everything from the first incomplete one on is
            cut off.
    """

    def __init__(
        self, folder: Path, dtype: str = 'float32', known: Sequence[tuple[int | None, Sequence[int]]] = ()
    ) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (*folder.glob('*.json'), *folder.glob('*.npy')):  # header and splits come last
            path.unlink()
        self._count, self._ends = self._find_complete(known)
        sizes = {'clips': INDEX.itemsize * self._count, **self._ends, 'crc': CRC_SIZE * self._count}
        self._files = {}
        for name, size in sizes.items():
            self._files[name] = file = open(folder / f'{name}.bin', 'ab')  # noqa: SIM115
            file.truncate(size)

    def __len__(self) -> int:
        return self._count

    def _find_complete(self, known: Sequence[tuple[int | None, Sequence[int]]]) -> tuple[int, dict[str, int]]:
        """The number of complete clips, and the end of the last one in each file of parts."""
        ends = dict.fromkeys(PARTS, 0)
        paths = {name: self.folder / f'{name}.bin' for name in BINARIES}
        if not all(path.is_file() for path in paths.values()):
            return 0, ends
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open('rb')) for name, path in paths.items()}
            for count, (label, shape) in enumerate(known):
                record = files['clips'].read(INDEX.itemsize)
                parts = self._read_parts(files, record, shape)
                checksum = files['crc'].read(CRC_SIZE)
                if record != make_record(ends, parts, label).tobytes() or checksum != checksum_of(*parts):
                    return count, ends
                ends = ends_after(ends, parts)
        return len(known), ends

    def _read_parts(self, files: Mapping[str, BufferedReader], record: bytes, shape: Sequence[int]) -> Parts:
        """The next clip; missing bytes are zero."""
        indexed = np.frombuffer(record.ljust(INDEX.itemsize), INDEX)[0]
        keypoint, score = np.zeros(shape, self.dtype), None
        files['keypoint'].readinto(keypoint.data)
        if indexed['score'] != NO_SCORE:
            score = np.zeros(shape[:3], self.dtype)
            files['score'].readinto(score.data)
        return keypoint, score, files['info'].read(max(0, indexed['info_size']))

    def append(self, annotation: Mapping[str, Any]) -> None:
        """Append one clip.

        Args:
            annotation: frame_dir, label, keypoint (M, T, V, C), optionally keypoint_score (M, T, V) and
                fields that JSON can represent.

        Raises:
            OSError: it could not be written.
            TypeError: JSON cannot represent one of its fields.
        """
        keypoint = np.ascontiguousarray(annotation['keypoint'], self.dtype)
        score = annotation.get('keypoint_score')
        score = None if score is None else np.ascontiguousarray(score, self.dtype)
        fields = {key: value for key, value in annotation.items() if key not in INDEXED}
        parts = (keypoint, score, json.dumps(fields, default=plain).encode())
        record = make_record(self._ends, parts, annotation['label'])
        written: Any = (record, keypoint, b'' if score is None else score, parts[-1], checksum_of(*parts))
        for file, content in zip(self._files.values(), written, strict=True):
            file.write(content)
        self._ends = ends_after(self._ends, parts)
        self._count += 1

    def flush(self) -> None:
        """Pass appended clips to the system, which keeps them if this process is killed."""
        for file in self._files.values():
            file.flush()

    def annotations(self, positions: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Clips by their positions; arrays are mapped, so that only accessed parts are in memory."""
        records = np.fromfile(self.folder / 'clips.bin', INDEX)
        keypoints, scores = self._map('keypoint', self.dtype), self._map('score', self.dtype)
        infos = self._map('info', np.uint8)
        for position in positions:
            start, score, info, info_size, label, sizes, _ = records[position].item()
            shape = tuple(sizes.tolist())
            # Field names are interned, so that pickles contain each only once.
            loaded = json.loads(infos[info : info + info_size].tobytes())
            fields = {sys.intern(name): value for name, value in loaded.items()}
            clip = dict(frame_dir=fields.pop('frame_dir'), label=label, **fields, total_frames=shape[1])
            start //= self.dtype.itemsize
            clip['keypoint'] = keypoints[start : start + prod(shape)].reshape(shape)
            if score != NO_SCORE:
                start = score // self.dtype.itemsize
                clip['keypoint_score'] = scores[start : start + prod(shape[:3])].reshape(shape[:3])
            yield clip

    def _map(self, name: str, dtype: Any) -> np.ndarray:
        """The numbers in a file; an empty file cannot be mapped."""
        path = self.folder / f'{name}.bin'
        return np.asarray(np.memmap(path, dtype, 'c')) if self._ends[name] else np.empty(0, dtype)

    def finish(self, split: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> None:
        """Write header and splits, with which the folder is a store, and close the files.

        Args:
            split: the positions of each split's clips.
            meta: the metadata of all clips.

        Raises:
            OSError: something could not be written.
        """
        for index, positions in enumerate(split.values()):
            np.save(self.folder / f'split-{index}.npy', np.array(sorted(positions), np.int64))
        self.flush()
        sizes = {name: (self.folder / name).stat().st_size for name in (f'{part}.bin' for part in BINARIES)}
        for file in self._files.values():
            os.fsync(file.fileno())
            file.close()
        header = dict(format=FORMAT, version=VERSION, dtype=self.dtype.name)
        header |= dict(clips=self._count, splits=list(split), sizes=sizes, meta=meta)
        names = sorted(['clips.bin', 'crc.bin', *(f'split-{index}.npy' for index in range(len(split)))])
        header['checksums'] = {name: crc32((self.folder / name).read_bytes()) for name in names}
        header = json.loads(json.dumps(header, default=plain))
        (self.folder / 'meta.json').write_text(json.dumps(header | header_checksum(header), indent=1))

    def close(self) -> None:
        """Close the files; data that a full disk rejects is lost."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()


def part_sizes(records: np.ndarray, dtype: np.dtype) -> dict[str, np.ndarray]:
    """The sizes of the parts of clips in bytes, by their records."""
    joints = records['shape'][..., :3].prod(-1, np.int64)
    return {
        'keypoint': joints * records['shape'][..., 3] * dtype.itemsize,
        'score': joints * dtype.itemsize * (records['score'] != NO_SCORE),
        'info': records['info_size'],
    }


def make_record(ends: Mapping[str, int], parts: Parts, label: int | None) -> np.ndarray:
    """The record of a clip whose parts begin at ``ends``."""
    keypoint, score, info = parts
    starts = (ends['keypoint'], NO_SCORE if score is None else ends['score'], ends['info'])
    return np.array((*starts, len(info), label, keypoint.shape, mean_square(keypoint)), INDEX)


def ends_after(ends: Mapping[str, int], parts: Parts) -> dict[str, int]:
    """The ends of the parts of a clip that begin at ``ends``."""
    sizes = (0 if part is None else memoryview(part).nbytes for part in parts)
    return {name: ends[name] + size for name, size in zip(PARTS, sizes, strict=True)}


def checksum_of(*parts: Any) -> bytes:
    """The CRC-32 of the parts of a clip; None is a part that it lacks."""
    checksum = 0
    for part in parts:
        checksum = checksum if part is None else crc32(part, checksum)
    return checksum.to_bytes(CRC_SIZE, 'little')


def header_checksum(header: Mapping[str, Any]) -> dict[str, int]:
    """The checksum of all other entries of a header."""
    rest = {key: value for key, value in header.items() if key != 'checksum'}
    return {'checksum': crc32(json.dumps(rest, sort_keys=True).encode())}


def plain(value: Any) -> Any:
    """Arrays and NumPy's numbers as values for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f'a store cannot contain a {type(value).__name__}: {value!r}')

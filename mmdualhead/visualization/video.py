"""Persons drawn onto the frames of a video, and the film of these frames.

H, W: size of an image; V joints.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.poses import Person
from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.files import check_writable
from mmdualhead.utils.quiet import quiet_libraries

CODECS = {'.mp4': 'mp4v', '.webm': 'VP80', '.avi': 'MJPG'}
"""The codecs that OpenCV's own builds have. Browsers play ``.webm``."""

COLORS = ((255, 176, 0), (64, 196, 255), (120, 230, 100), (255, 110, 180), (190, 150, 255), (255, 240, 90))
"""RGB, by the order of appearance; light ones, which their dark outline also shows on a light ground."""

OUTLINE = (20, 20, 20)
VISIBLE = 0.3
"""Joints of a lower score are not drawn."""

HAIR = 0.08
"""Space above the highest joint, often an eye or the nose, in heights of the person."""


class Box(NamedTuple):
    """A part of an image, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether another part has pixels of this one."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)


SHORTEST_TICK = 65535
"""Of MPEG-4, in parts of a second."""


def in_ticks(frame_rate: float) -> float:
    """The frame rate with as many decimals as MPEG-4 can express, whose ticks are at least 1/65535 s."""
    decimals = math.floor(math.log10(SHORTEST_TICK / frame_rate))
    return round(min(frame_rate, SHORTEST_TICK), min(max(decimals, 0), 2))


class Film:
    """A film that is written frame by frame, and that appears at its path complete or not at all::

        with Film(path, (height, width), frame_rate) as film:
            film.write(image)
            film.save()

    Args:
        path: the file; its suffix, one of :data:`CODECS`, determines the format.
        img_shape: (H, W).
        frame_rate: frames per second.

    Raises:
        OSError: it cannot be written there.
        UserError: another suffix, or OpenCV lacks the codec.
    """

    def __init__(self, path: str | Path, img_shape: tuple[int, int], frame_rate: float) -> None:
        import cv2

        self.path, self.count, self._size = Path(path), 0, img_shape[::-1]
        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            raise UserError(f'{path}: films are written as {", ".join(CODECS)}')
        check_writable(self.path)
        self._folder = TemporaryDirectory(prefix='.film-', dir=self.path.absolute().parent)
        self.partial = Path(self._folder.name) / f'film{suffix}'
        code = cv2.VideoWriter.fourcc(*CODECS[suffix])
        with quiet_libraries():
            self._writer = cv2.VideoWriter(str(self.partial), code, in_ticks(frame_rate), self._size)
        if not self._writer.isOpened():
            self._folder.cleanup()
            others = ', '.join(one for one in CODECS if one != suffix)
            raise UserError(f'{path}: this OpenCV has no codec {CODECS[suffix]}; try another of {others}')

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()
        self._folder.cleanup()

    def write(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3), RGB."""
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))
        self.count += 1

    def finish(self) -> Path:
        """Write the last frames to the file that has no name yet.

        Raises:
            OSError: it does not hold all frames; OpenCV does not report a full disk.
        """
        import cv2

        self._writer.release()
        written = int(cv2.VideoCapture(str(self.partial)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != self.count:
            raise OSError(
                f'{self.path} could not be written: it has {max(written, 0)} of {self.count} frames; '
                'is the disk full?'
            )
        return self.partial

    def save(self) -> None:
        """Put the film to its path.

        Raises:
            OSError: as :meth:`finish`.
        """
        self.finish().replace(self.path)


def draw_persons(
    image: np.ndarray,
    skeleton: Skeleton,
    persons: Mapping[Hashable, Person],
    captions: Mapping[tuple[Hashable, ...], str],
) -> np.ndarray:
    """An image with persons and their captions drawn on it.

    Args:
        image: (H, W, 3), RGB.
        skeleton: the layout of the joints.
        persons: with joints (V, 2) in pixels, by id; from 0, an id determines the color.
        captions: by the ids of one or two persons.

    Returns:
        (H, W, 3).
    """
    drawn = np.ascontiguousarray(image).copy()
    width = max(2, round(min(image.shape[:2]) / 270))
    shown = {id: _seen(person) for id, person in persons.items()}
    for id, seen in shown.items():
        _draw_bones(drawn, skeleton, persons[id].joints, seen, color_of(id), width)
    boxes = {id: _box(persons[id].joints[seen]) for id, seen in shown.items() if seen.any()}
    captioned: list[Box] = []
    for key, text in captions.items():
        own = [boxes[id] for id in key if id in boxes]
        if own:
            taken = [*boxes.values(), *captioned]
            captioned.append(_draw_caption(drawn, text, color_of(key[0]), own, taken))
    return drawn


def color_of(id: Hashable) -> tuple[int, int, int]:
    """The color of a person."""
    return COLORS[(id if isinstance(id, int) else sum(str(id).encode())) % len(COLORS)]


def _seen(person: Person) -> np.ndarray:
    """(V,) which joints are drawn."""
    there = np.asarray(person.joints.any(1) & np.isfinite(person.joints).all(1))
    return there if person.scores is None else there & (person.scores >= VISIBLE)


def _draw_bones(
    image: np.ndarray, skeleton: Skeleton, joints: np.ndarray, seen: np.ndarray, color: Any, width: int
) -> None:
    import cv2

    # Far outside of the image, where OpenCV's integers end, nothing is seen.
    points = np.clip(np.nan_to_num(joints), -1e4, 1e4).round().astype(int).tolist()
    bones = [(a, b) for a, b in skeleton.edges if seen[a] and seen[b]]
    for shade, thick in ((OUTLINE, width + 4), (color, width)):
        for a, b in bones:
            cv2.line(image, points[a], points[b], shade, thick, cv2.LINE_AA)
        for joint in np.flatnonzero(seen):
            cv2.circle(image, points[joint], thick, shade, -1, cv2.LINE_AA)


def _box(points: np.ndarray) -> Box:
    """The box around points, with some space for the hair."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return Box(left, top - HAIR * (bottom - top), right, bottom)


def _draw_caption(
    image: np.ndarray, text: str, color: tuple[int, int, int], own: Sequence[Box], taken: Sequence[Box]
) -> Box:
    """Write a caption where nothing is: above its persons, higher, or below; else over its persons."""
    height, width = image.shape[:2]
    plate = _plate(text, color, max(14, round(min(height, width) / 30)))[:height, :width]
    rows, columns = plate.shape[:2]
    middle = (min(box.left for box in own) + max(box.right for box in own)) / 2
    x = int(np.clip(middle - columns / 2, 0, width - columns))
    first = int(np.clip(min(box.top for box in own) - rows, 0, height - rows))
    step = max(rows // 2, 1)
    places = (
        Box(x, y, x + columns, y + rows)
        for y in (*range(first, -1, -step), *range(first, height - rows, step))
    )
    free = (place for place in places if not any(map(place.overlaps, taken)))
    place = next(free, Box(x, first, x + columns, first + rows))
    part = image[int(place.top) : int(place.bottom), x : x + columns]
    cover = plate[..., 3:] / 255
    part[:] = (part * (1 - cover) + plate[..., :3] * cover).round().astype(np.uint8)
    return place


@lru_cache(maxsize=256)
def _plate(text: str, color: tuple[int, int, int], size: int) -> np.ndarray:
    """(rows, columns, 4): light text on a dark, somewhat transparent ground, with a stripe of a color."""
    from PIL import Image, ImageDraw, ImageFont

    font, pad = ImageFont.load_default(size), size // 3
    left, _, right, _ = font.getbbox(text)
    plate = Image.new('RGBA', (round(right - left) + 4 * pad, round(1.25 * size) + pad), (*OUTLINE, 190))
    pen = ImageDraw.Draw(plate)
    pen.rectangle((0, 0, pad, plate.height), fill=(*color, 255))
    middle = (2.5 * pad - left, plate.height / 2)
    pen.text(middle, text, font=font, fill=(255, 255, 255, 255), anchor='lm')
    return np.asarray(plate)

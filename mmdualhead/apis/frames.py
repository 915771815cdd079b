"""The frames of a video file or a camera, with the times at which they were taken. H, W: size of an image."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.quiet import quiet_libraries

FRAME_RATE = 30.0
"""Frames per second where a file or a camera does not tell, or tells nonsense."""

MOST_FRAMES_PER_SECOND = 1000.0


class Frames:
    """The frames of a video, one after the other::

        frames = Frames('clip.mp4')
        for image, time in frames:
            ...

    Images are RGB, turned upright as the file demands. Times are those in the file, in seconds from the first
    frame, also where the rate varies; frames of a camera have the time at which they came.

    Args:
        source: a video file; the number of a camera; or the address of a stream (``rtsp://...``).

    Raises:
        FileNotFoundError: the file is missing.
        UserError: it is not a video, it has no frames, or the camera is missing.
    """

    def __init__(self, source: str | Path) -> None:
        self.name = str(source)
        self.is_live = self.name.isdecimal() or '://' in self.name
        self._capture = self._open()
        self._first = self._read()
        if self._first is None:
            self.close()
            raise UserError(f'{self._what} has no frames')
        self.height, self.width = self._first.shape[:2]
        stated = self._stated('CAP_PROP_FPS')
        self.frame_rate = stated if 0 < stated <= MOST_FRAMES_PER_SECOND else FRAME_RATE
        counted = self._stated('CAP_PROP_FRAME_COUNT')
        self.count = None if self.is_live or counted < 1 else int(counted)

    @property
    def img_shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width

    @property
    def duration(self) -> float | None:
        """Seconds, as the file states; None for a camera."""
        return None if self.count is None else self.count / self.frame_rate

    @property
    def _what(self) -> str:
        return f'camera {self.name}' if self.name.isdecimal() else self.name

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """All frames (H, W, 3) uint8 and their times; once."""
        image, began, time = self._first, monotonic(), 0.0
        origin = self._stated('CAP_PROP_POS_MSEC')
        while image is not None:
            yield image[..., ::-1], time
            image = self._read()
            stated = (self._stated('CAP_PROP_POS_MSEC') - origin) / 1000
            now = monotonic() - began if self.is_live else stated
            time = now if now > time else time + 1 / self.frame_rate

    def close(self) -> None:
        """Close the file or the camera."""
        self._capture.release()

    def _open(self) -> Any:
        import cv2

        is_camera = self.name.isdecimal()
        if not self.is_live:
            path = Path(self.name)
            if not path.exists():
                raise FileNotFoundError(f'{path}: no such file')
            if not path.is_file():
                raise UserError(f'{path} is not a file')
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # damaged frames are not worth a line each
        with quiet_libraries():
            capture = cv2.VideoCapture(int(self.name) if is_camera else self.name)
        if not capture.isOpened():
            reason = 'there is none, or it is in use' if is_camera else 'not a video that OpenCV can read'
            raise UserError(f'{self._what}: {reason}')
        return capture

    def _read(self) -> np.ndarray | None:
        found, image = self._capture.read()
        return image if found else None

    def _stated(self, name: str) -> float:
        import cv2

        value = float(self._capture.get(getattr(cv2, name)))
        return value if math.isfinite(value) else 0.0

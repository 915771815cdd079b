"""Small videos, and persons in them."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from mmdualhead.apis.estimators import ESTIMATORS, Replay
from mmdualhead.datasets.recording import Recording

RATE, FRAMES, SIZE = 30, 90, (120, 160)


def write_video(path: Path, frames: int = FRAMES, rate: float = RATE, size: tuple[int, int] = SIZE) -> Path:
    """A video whose images become lighter; its left half is red, its right half blue."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, size[::-1])
    for frame in range(frames):
        image = np.zeros((*size, 3), np.uint8)
        image[:, : size[1] // 2, 2] = image[:, size[1] // 2 :, 0] = 100 + frame
        film.write(image)
    film.release()
    return path


def turn(path: Path) -> None:
    """Let an MP4 say that it is to be shown a quarter of a turn clockwise, as telephones do."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b'tkhd') + 4 + 40
    one = 1 << 16
    content[matrix : matrix + 36] = struct.pack('>9i', 0, one, 0, -one, 0, 0, 120 * one, 0, 1 << 30)
    path.write_bytes(content)


def dancers(recording, frames: int = FRAMES) -> dict:
    """Two persons of kinect_v1, in meters and in the pixels of the video."""
    keypoint = np.stack([recording(frames, seed=seed) for seed in (1, 2)])
    pixels = np.random.default_rng(0).normal((0, 60), (4, 12), (2, 1, 20, 2)) + np.zeros((2, frames, 20, 2))
    pixels[..., 0] += np.array([45, 110])[:, None, None]
    return dict(keypoint=keypoint, image=pixels.clip(1), layout='kinect_v1', unit='m')


def register(monkeypatch, name: str, make) -> None:
    """Register an estimator for one test, as ``--import`` would."""
    monkeypatch.setitem(ESTIMATORS.module_dict, name, make)


def replay(keypoint, layout, image=None, unit=None, kind: type = Replay, **known) -> Replay:
    """An estimator that replays joints."""
    return kind(Recording(keypoint=keypoint, layout=layout, **known), image, unit)


class Interrupted(Replay):
    """Replays, and signals at a frame."""

    at, act = 40, staticmethod(lambda: None)

    def estimate(self, image, time):
        if self._next == self.at:
            self.act()
        return super().estimate(image, time)

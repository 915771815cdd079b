"""Read NTU RGB+D's ``.skeleton`` text files: the tracked bodies, frame by frame.

F frames of a body, V = 25 joints.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np

from mmdualhead.errors import UserError
from mmdualhead.utils.reading import parse_numbers

from .raw_dataset import as_float32

NUM_JOINTS = 25

# Numbers of a body before its joints: ten fields, the first its id, and the number of joints.
BODY_FIELDS = 11
JOINT_FIELDS = 12
JOINTS_SIZE = NUM_JOINTS * JOINT_FIELDS

# No count of frames or bodies has more digits.
MOST_DIGITS = 6

# A joint is not tracked, inferred, or tracked.
JOINT_STATES = {b'0', b'1', b'2'}


class TrackedBody(NamedTuple):
    """One body, as long as the camera tracked it under one id.

    Args:
        frames: (F,) the frames it is in, ascending.
        joints: (F, V, 3) float32, meters.
    """

    frames: np.ndarray
    joints: np.ndarray


def parse_skeleton(content: bytes) -> tuple[int, list[TrackedBody]]:
    """Parse a ``.skeleton`` file.

    Only x, y and z of the 12 fields per joint become numbers. The others serve to detect missing fields:
    every body must have 25 joints and every joint must end with a tracking state.

    Args:
        content: of the file.

    Returns:
        The number of frames, empty ones included, and the tracks in the order in which they begin.

    Raises:
        UserError: the file is truncated, too long, or malformed; the message names the frame.
    """
    tokens = content.split()
    num_frames = _parse_count(tokens, 0, 'the number of frames')
    cursor = 1
    bodies: dict[bytes, dict[int, list[float]]] = {}
    for frame in range(num_frames):
        count = _parse_count(tokens, cursor, f'frame {frame}: the number of bodies')
        cursor += 1
        for _ in range(count):
            axes = _parse_joints(tokens, cursor + BODY_FIELDS, frame)
            seen = bodies.setdefault(tokens[cursor], {})
            if frame in seen:
                raise UserError(f'frame {frame}: body {_show(tokens[cursor])} occurs twice')
            seen[frame] = axes
            cursor += BODY_FIELDS + JOINTS_SIZE
    if cursor < len(tokens):
        raise UserError(f'{len(tokens) - cursor} fields after the last of {num_frames} frames')
    return num_frames, [_make_track(seen) for seen in bodies.values()]


def _parse_count(tokens: list[bytes], position: int, what: str) -> int:
    if position >= len(tokens):
        raise UserError(f'the file ends where {what} should be')
    if not tokens[position].isdigit() or len(tokens[position]) > MOST_DIGITS:
        raise UserError(f'{what} is {_show(tokens[position])}, expected a whole number')
    return int(tokens[position])


def _parse_joints(tokens: list[bytes], start: int, frame: int) -> list[float]:
    """All x, all y, all z of one body's joints, after checking the positions of the fields."""
    if start + JOINTS_SIZE > len(tokens):
        raise UserError(f'the file ends within a body of frame {frame}')
    if tokens[start - 1] != b'25':
        raise UserError(f'frame {frame}: {_show(tokens[start - 1])} joints, expected {NUM_JOINTS}')
    fields = tokens[start : start + JOINTS_SIZE]
    if odd := set(fields[JOINT_FIELDS - 1 :: JOINT_FIELDS]) - JOINT_STATES:
        raise UserError(
            f'frame {frame}: a joint ends with {_show(min(odd))}, expected its tracking state 0 to 2'
        )
    try:
        return parse_numbers(chain.from_iterable(fields[axis::JOINT_FIELDS] for axis in range(3)))
    except ValueError as error:
        raise UserError(f'frame {frame}: {error}') from error


def _make_track(seen: dict[int, list[float]]) -> TrackedBody:
    frames = np.array(list(seen))
    joints = as_float32(np.array(list(seen.values()))).reshape(-1, 3, NUM_JOINTS).transpose(0, 2, 1)
    lost = ~np.isfinite(joints).all(axis=(1, 2))
    if lost.any():
        raise UserError(f'frame {frames[lost.argmax()]}: a coordinate is not a finite number')
    return TrackedBody(frames, joints)


def _show(token: bytes) -> str:
    return repr(token[:20].decode('ascii', 'replace'))

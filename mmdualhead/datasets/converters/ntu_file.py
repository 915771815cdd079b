"""Reads NTU RGB+D's ``.skeleton`` text files: who was tracked where, frame by frame.

T frames, B bodies over all frames, V = 25 joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .recording import MalformedRecording, as_float32

NUM_JOINTS = 25

# Numbers of a body before its joints: ten fields, the first its id, and the number of joints.
BODY_FIELDS = 11
JOINT_FIELDS = 12
JOINTS_SIZE = NUM_JOINTS * JOINT_FIELDS

# No count of frames or bodies has more digits.
MOST_DIGITS = 6

# A joint is not tracked, inferred, or tracked.
JOINT_STATES = {b'0', b'1', b'2'}


@dataclass(frozen=True)
class Track:
    """One body as long as the camera took it for the same one.

    Args:
        frames: (F,) the frames it is in, ascending.
        joints: (F, V, 3) float32, meters.
    """

    frames: np.ndarray
    joints: np.ndarray


def parse_skeleton(content: bytes) -> tuple[int, list[Track]]:
    """Parse a ``.skeleton`` file.

    Only what is needed becomes numbers: of 12 fields a joint x, y and z. The others are used to notice
    that fields are missing: every body must name 25 joints and every joint end with a tracking state.

    Args:
        content: of the file.

    Returns:
        The number of frames, empty ones included, and the tracks in the order in which they begin.

    Raises:
        MalformedRecording: the file is truncated, too long, or breaks the format; says in which frame.
    """
    tokens = content.split()
    num_frames = _parse_count(tokens, 0, 'the number of frames')
    cursor, bodies, frames, blocks = 1, [], [], []
    for frame in range(num_frames):
        count = _parse_count(tokens, cursor, f'frame {frame}: the number of bodies')
        cursor += 1
        for _ in range(count):
            blocks.append(_check_joints(tokens, cursor + BODY_FIELDS, frame))
            bodies.append(tokens[cursor])
            frames.append(frame)
            cursor += BODY_FIELDS + JOINTS_SIZE
    if cursor < len(tokens):
        raise MalformedRecording(f'{len(tokens) - cursor} fields after the last of {num_frames} frames')
    return num_frames, _group(bodies, np.array(frames, int), _parse_joints(blocks, frames))


def _parse_count(tokens: list[bytes], position: int, what: str) -> int:
    if position >= len(tokens):
        raise MalformedRecording(f'the file ends where {what} should be')
    if not tokens[position].isdigit() or len(tokens[position]) > MOST_DIGITS:
        raise MalformedRecording(f'{what} is {_show(tokens[position])}, expected a whole number')
    return int(tokens[position])


def _check_joints(tokens: list[bytes], start: int, frame: int) -> list[bytes]:
    """The fields of one body's joints, after checking that they are where they should be."""
    if start + JOINTS_SIZE > len(tokens):
        raise MalformedRecording(f'the file ends within a body of frame {frame}')
    if tokens[start - 1] != b'25':
        raise MalformedRecording(f'frame {frame}: {_show(tokens[start - 1])} joints, expected {NUM_JOINTS}')
    block = tokens[start : start + JOINTS_SIZE]
    states = set(block[JOINT_FIELDS - 1 :: JOINT_FIELDS])
    if not states <= JOINT_STATES:
        odd = _show(min(states - JOINT_STATES))
        raise MalformedRecording(
            f'frame {frame}: a joint ends with {odd}, expected its tracking state 0 to 2'
        )
    return block


def _parse_joints(blocks: list[list[bytes]], frames: list[int]) -> np.ndarray:
    """(B, V, 3) numbers from B blocks of fields."""
    numbers = np.empty((len(blocks), 3, NUM_JOINTS))
    for row, (block, frame) in enumerate(zip(blocks, frames, strict=True)):
        for axis in range(3):
            try:
                numbers[row, axis] = list(map(float, block[axis::JOINT_FIELDS]))
            except ValueError as error:
                raise MalformedRecording(f'frame {frame}: {error}') from error
    numbers = as_float32(numbers)
    wrong = ~np.isfinite(numbers).all(axis=(1, 2))
    if wrong.any():
        raise MalformedRecording(f'frame {frames[wrong.argmax()]}: a coordinate is not a finite number')
    return numbers.transpose(0, 2, 1)


def _group(bodies: list[bytes], frames: np.ndarray, joints: np.ndarray) -> list[Track]:
    rows: dict[bytes, list[int]] = {}
    for row, body in enumerate(bodies):
        rows.setdefault(body, []).append(row)
    tracks = [Track(frames[own], joints[own]) for own in rows.values()]
    for body, track in zip(rows, tracks, strict=True):
        twice = np.flatnonzero(np.diff(track.frames) == 0)
        if len(twice):
            raise MalformedRecording(f'frame {track.frames[twice[0]]}: body {_show(body)} occurs twice')
    return tracks


def _show(token: bytes) -> str:
    return repr(token[:20].decode('ascii', 'replace'))

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.datasets.converters.ntu_file import parse_skeleton
from mmdualhead.errors import UserError

from .raw_files import BODY_A, BODY_B, BODY_C, ntu_frames, standing, write_ntu


def make_file(tmp_path: Path, tracks: dict[str, tuple[int, np.ndarray]], num_frames: int) -> bytes:
    write_ntu(tmp_path / 'a.skeleton', ntu_frames(tracks, num_frames))
    return (tmp_path / 'a.skeleton').read_bytes()


def test_gives_back_every_track(tmp_path: Path) -> None:
    written = {
        BODY_A: (2, standing(25, 5, 1)),
        BODY_B: (0, standing(25, 9, 2)),
        BODY_C: (7, standing(25, 2, 3)),
    }
    num_frames, tracks = parse_skeleton(make_file(tmp_path, written, 12))
    assert num_frames == 12
    assert len(tracks) == 3
    for track in tracks:
        first, joints = next(w for w in written.values() if w[0] == track.frames[0])
        np.testing.assert_array_equal(track.frames, np.arange(first, first + len(joints)))
        np.testing.assert_array_equal(track.joints, joints)


def test_tells_bodies_apart_whose_ids_differ_in_the_last_digit(tmp_path: Path) -> None:
    """As floating-point numbers the two would be one."""
    assert float(BODY_A) == float(BODY_B)
    _, tracks = parse_skeleton(
        make_file(tmp_path, {BODY_A: (0, standing(25, 2)), BODY_B: (0, standing(25, 2))}, 2)
    )
    assert len(tracks) == 2


def test_a_body_may_come_back(tmp_path: Path) -> None:
    frames = ntu_frames({BODY_A: (0, standing(25, 6))}, 6)
    frames[2] = {}
    write_ntu(tmp_path / 'a.skeleton', frames)
    _, (track,) = parse_skeleton((tmp_path / 'a.skeleton').read_bytes())
    assert track.frames.tolist() == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda _: [], 'the file ends where the number of frames should be'),
        (lambda lines: ['two', *lines[1:]], "the number of frames is 'two', expected a whole number"),
        (lambda lines: ['-2', *lines[1:]], "'-2', expected a whole number"),
        (lambda lines: ['9' * 5000, *lines[1:]], 'expected a whole number'),
        (lambda lines: lines[:-3], 'the file ends within a body of frame 1'),
        (lambda lines: [*lines[:-1], lines[-1][:-4]], 'the file ends within a body of frame 1'),
        (lambda lines: lines[:29], 'the file ends where frame 1: the number of bodies should be'),
        (lambda lines: ['1', *lines[1:]], '312 fields after the last of 1 frames'),
        (lambda lines: [*lines[:3], '24', *lines[4:]], "frame 0: '24' joints, expected 25"),
        (lambda lines: [*lines[:9], '1 2 3', *lines[10:]], 'frame 0: a joint ends with'),
        (lambda lines: [*lines[:-1], 'x' + lines[-1]], r"frame 1: 'x.*' is not a number"),
        (
            lambda lines: [*lines[:-1], 'nan' + lines[-1][lines[-1].index(' ') :]],
            "frame 1: 'nan' is not a number",
        ),
        (
            lambda lines: [*lines[:-1], '1e99' + lines[-1][lines[-1].index(' ') :]],
            'frame 1: a coordinate is no',
        ),
        (lambda lines: ['1', '2', *lines[2:29], *lines[30:]], f"frame 0: body '{BODY_A}' occurs twice"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, damage: Callable, message: str) -> None:
    lines = make_file(tmp_path, {BODY_A: (0, standing(25, 2))}, 2).decode().split('\r\n')[:-1]
    with pytest.raises(UserError, match=message):
        parse_skeleton('\r\n'.join(damage(lines)).encode())


def test_a_file_without_frames() -> None:
    assert parse_skeleton(b'0\r\n') == (0, [])
    assert parse_skeleton(b'3\n0\n0\n0\n') == (3, [])


@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    try:
        num_frames, tracks = parse_skeleton(content)
    except UserError:
        return
    assert tracks == []
    assert content.split() == [b'%d' % num_frames, *[b'0'] * num_frames] or content.split()[0].startswith(
        b'0'
    )


@given(
    st.lists(st.sampled_from([b'0', b'1', b'2', b'25', b'-1', b'nan', b'1e999', b'1_0', b'x']), max_size=700)
)
def test_random_fields(fields: list[bytes]) -> None:
    try:
        num_frames, tracks = parse_skeleton(b' '.join(fields))
    except UserError:
        return
    assert sum(len(track.frames) for track in tracks) * 311 + num_frames + 1 == len(fields)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte(tmp_path_factory: pytest.TempPathFactory, position: int, value: int) -> None:
    """One changed byte may change a number; it never moves the others."""
    joints = standing(25, 2)
    content = bytearray(make_file(tmp_path_factory.getbasetemp(), {BODY_A: (0, joints)}, 2))
    content[position % len(content)] = value
    try:
        _, tracks = parse_skeleton(bytes(content))
    except UserError:
        return
    found = np.concatenate([track.joints for track in tracks])
    assert found.shape == joints.shape
    assert (found != joints).sum() <= 1

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.datasets.converters import Recording, convert
from mmdualhead.datasets.converters.nw_ucla import read_recording, scan
from mmdualhead.datasets.converters.raw_dataset import LOST_FRAMES
from mmdualhead.errors import UserError

from .raw_files import standing, write_ucla


def test_round_trip(tmp_path: Path, converted: Callable) -> None:
    """The action numbers in the names have gaps, the labels have not; one frame is a clip."""
    known = {'a01_s01_e00_v01': 1, 'a12_s10_e05_v02': 10, 'a08_s03_e04_v03': 7}
    joints = {name: standing(20, 1 + 2 * i, seed=i) for i, name in enumerate(known)}
    for name, label in known.items():
        write_ucla(tmp_path / f'{name}.json', label, joints[name])
    result = converted(scan(tmp_path))
    assert result.split == {
        'xview_train': ['a01_s01_e00_v01', 'a12_s10_e05_v02'],
        'xview_val': ['a08_s03_e04_v03'],
    }
    assert result.labels == {name: label - 1 for name, label in known.items()}
    for name, clip in result.clips.items():
        np.testing.assert_array_equal(clip['keypoint'], joints[name][None])
    assert len(result.meta['classes']) == 10


def test_drops_lost_frames_and_keeps_lost_joints(tmp_path: Path) -> None:
    joints = standing(20, 5)
    joints[1] = 0
    joints[2, 7] = 0
    path = tmp_path / 'a01_s01_e00_v01.json'
    write_ucla(path, 1, joints)
    clip = read_recording(Recording(path.stem, path))
    assert clip.counts == {LOST_FRAMES: 1}
    np.testing.assert_array_equal(clip.keypoint[0], np.delete(joints, 1, 0))


@pytest.mark.parametrize('name', ['a01_s11_e00_v01', 'a01_s01_e00_v04', 'a01_s01_e00_v00', 'a07_s01_e00_v01'])
def test_refuses_names_outside_the_data_set(tmp_path: Path, name: str) -> None:
    write_ucla(tmp_path / f'{name}.json', 1, standing(20, 2))
    with pytest.raises(UserError, match=r'the name has .* expected (1\.\.|one of)'):
        scan(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'file_name': 'b'}, "file_name is 'b', expected 'a'"),
        ({'label': 0}, r'label is 0, expected 1\.\.10'),
        ({'label': 11}, 'label is 11'),
        ({'label': '3'}, "label is '3'"),
        ({'skeletons': None}, 'skeletons: None is not a list'),
        ({'skeletons': [[[1, 2]] * 20]}, r'found \(1, 20, 2\)'),
        (
            {'skeletons': [[[1, 2, 3]] * 20, [[1, 2, 3]] * 19]},
            r'skeletons: \[1\]: 19 entries, while the first has 20',
        ),
        ({'skeletons': [[['1', '2', '3']] * 20]}, r"\[0\]\[0\]\[0\]: '1' is not a number"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, change: dict, message: str) -> None:
    content = {'file_name': 'a', 'label': 1, 'skeletons': [[[1, 2, 3]] * 20], **change}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_recording(Recording('a', tmp_path / 'a.json'))


@pytest.mark.fault('NW-UCLA file whose label is not that of its name', '-', 'malformed')
def test_a_label_against_the_name_is_malformed(tmp_path: Path) -> None:
    write_ucla(tmp_path / 'a08_s01_e00_v01.json', 8, standing(20, 2))
    with pytest.raises(UserError, match='label is 8, but the name has action 08, which has another label'):
        convert(scan(tmp_path), tmp_path / 'out.pkl', workers=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'random.json'
    path.write_bytes(content)
    with pytest.raises(UserError):
        read_recording(Recording('a', path))


@given(JSON)
def test_random_skeletons(tmp_path_factory: pytest.TempPathFactory, skeletons: Any) -> None:
    path = tmp_path_factory.getbasetemp() / 'a.json'
    path.write_text(json.dumps({'file_name': 'a', 'label': 1, 'skeletons': skeletons}))
    with pytest.raises(UserError):
        read_recording(Recording('a', path))

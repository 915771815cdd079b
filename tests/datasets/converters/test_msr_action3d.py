from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdualhead.datasets.converters import Recording
from mmdualhead.datasets.converters.msr_action3d import ACTION_SETS, NOISY, read_recording, scan
from mmdualhead.errors import UserError
from mmdualhead.skeletons import KINECT_V1

from .raw_files import standing, write_msr

# The rows of a frame, as the data set documents them.
FILE_ROWS = (
    *('left shoulder', 'right shoulder', 'shoulder center', 'spine', 'left hip', 'right hip', 'hip center'),
    *('left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hand', 'right hand', 'left knee'),
    *('right knee', 'left ankle', 'right ankle', 'left foot', 'right foot', 'head'),
)


def test_puts_the_rows_into_the_order_of_kinect_v1(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_text(''.join(f'{row} 1 1 0.5\n' for row in range(20)) * 2)
    keypoint = read_recording(Recording('a', tmp_path / 'a.txt', 0)).keypoint
    assert keypoint.shape == (1, 2, 20, 3)
    assert [FILE_ROWS[int(row)] for row in keypoint[0, 0, :, 0]] == list(KINECT_V1.joints)


def test_round_trip(tmp_path: Path, converted: Callable) -> None:
    known = {}
    for name in ('a01_s01_e01', 'a20_s10_e03', 'a06_s03_e02', 'a13_s09_e01'):
        known[name] = standing(20, 6 + len(known), seed=len(known))
        write_msr(tmp_path / f'{name}_skeleton3D.txt', known[name])
    lost = known['a06_s03_e02'].copy()
    lost[[2, 5]] = 0
    write_msr(tmp_path / 'a06_s03_e02_skeleton3D.txt', lost)
    write_msr(tmp_path / 'a13_s09_e01_skeleton3D.txt', np.zeros((4, 20, 3)))
    write_msr(tmp_path / 'a13_s09_e02_skeleton3D.txt', known['a01_s01_e01'])
    result = converted(scan(tmp_path))
    assert result.labels == {'a01_s01_e01': 0, 'a06_s03_e02': 5, 'a20_s10_e03': 19}
    expected = {**known, 'a06_s03_e02': np.delete(known['a06_s03_e02'], [2, 5], 0)}
    for name, clip in result.clips.items():
        np.testing.assert_array_equal(clip['keypoint'][0], expected[name])
    assert result.split == {
        'as1_xsub_val': ['a20_s10_e03'],
        'as1_xsub_train': ['a06_s03_e02'],
        'as2_xsub_train': ['a01_s01_e01'],
        'as3_xsub_train': ['a06_s03_e02'],
        'as3_xsub_val': ['a20_s10_e03'],
        'xsub_train': ['a01_s01_e01', 'a06_s03_e02'],
        'xsub_val': ['a20_s10_e03'],
    }
    assert 'frames without a person dropped: 2 in 1 clips' in result.summary
    assert 'MSR-Action3D has 567 clips as published, found 5' in result.summary
    assert set(result.meta['left_out']) == {'a13_s09_e01', 'a13_s09_e02'}


def test_keeps_noisy_clips_on_demand(tmp_path: Path) -> None:
    for name in (*sorted(NOISY), 'a01_s01_e01'):
        write_msr(tmp_path / f'{name}_skeleton3D.txt', standing(20, 2))
    assert (len(scan(tmp_path).recordings), len(scan(tmp_path).left_out)) == (1, 10)
    assert len(scan(tmp_path, leave_out=frozenset()).recordings) == 11


def test_action_sets_have_eight_actions_each() -> None:
    assert [len(set(actions)) for actions in ACTION_SETS.values()] == [8, 8, 8]


@pytest.mark.parametrize('name', ['a21_s01_e01', 'a00_s01_e01', 'a01_s11_e01', 'a01_s01_e04'])
def test_refuses_names_outside_the_data_set(tmp_path: Path, name: str) -> None:
    write_msr(tmp_path / f'{name}_skeleton3D.txt', standing(20, 2))
    with pytest.raises(UserError, match=r'the name says .* expected 1\.\.'):
        scan(tmp_path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('1 2 3 1\n' * 39, '39 rows, expected 20 for each frame'),
        ('1 2 3 1\n' * 19 + '1 2 3\n', 'row 19: 3 numbers, expected 4'),
        ('1 2 3 1\n' * 39 + '1 2 x 1\n', "frame 1, row 39: 'x' is not a number"),
        ('1 2 3 1\n' * 19 + '1 2 3 x\n', "frame 0, row 19: 'x' is not a number"),
        ('', 'the file is empty'),
        (' \n\n', 'the file is empty'),
    ],
)
@pytest.mark.fault(
    'MSR-Action3D file that is empty or has a letter in a number', '-', 'malformed, names the row'
)
def test_names_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'a.txt').write_text(content)
    with pytest.raises(UserError, match=message):
        read_recording(Recording('a', tmp_path / 'a.txt', 0))


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b'1 2 3 1', b'nan 1 1 1', b'x 1 1 1']), max_size=60).map(b'\n'.join)
)
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'random.txt'
    path.write_bytes(content)
    try:
        keypoint = read_recording(Recording('a', path, 0)).keypoint
    except UserError:
        return
    assert keypoint.shape == (1, len(content.split()) // 80, 20, 3)

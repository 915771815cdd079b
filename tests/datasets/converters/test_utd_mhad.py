from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mmdualhead.datasets.converters import Recording
from mmdualhead.datasets.converters.utd_mhad import read_recording, scan
from mmdualhead.errors import UserError

from .raw_files import standing, write_utd

# The rows of the files, as the data set documents them.
FILE_ROWS = (
    *('head', 'shoulder center', 'spine', 'hip center', 'left shoulder', 'left elbow', 'left wrist'),
    *('left hand', 'right shoulder', 'right elbow', 'right wrist', 'right hand', 'left hip', 'left knee'),
    *('left ankle', 'left foot', 'right hip', 'right knee', 'right ankle', 'right foot'),
)


def test_puts_the_rows_into_the_order_of_kinect_v1(tmp_path: Path) -> None:
    from mmdualhead.skeletons import KINECT_V1

    rows = np.arange(1.0, 21.0)[:, None, None] * np.ones((20, 3, 2))
    savemat(tmp_path / 'a.mat', {'d_skel': rows})
    keypoint = read_recording(Recording('a', tmp_path / 'a.mat', 0)).keypoint
    assert [FILE_ROWS[int(row) - 1] for row in keypoint[0, 0, :, 0]] == list(KINECT_V1.joints)


def test_round_trip(tmp_path: Path, converted: Callable) -> None:
    known = {}
    for name in ('a1_s1_t1', 'a27_s2_t4', 'a10_s8_t3'):
        known[name] = standing(20, 5 + len(known), seed=len(known))
        write_utd(tmp_path / f'{name}_skeleton.mat', known[name])
    (tmp_path / 'a1_s1_t1_inertial.mat').write_bytes(b'another modality')
    result = converted(scan(tmp_path))
    assert result.split == {'xsub_train': ['a1_s1_t1'], 'xsub_val': ['a10_s8_t3', 'a27_s2_t4']}
    assert result.labels == {'a1_s1_t1': 0, 'a10_s8_t3': 9, 'a27_s2_t4': 26}
    for name, clip in result.clips.items():
        np.testing.assert_array_equal(clip['keypoint'], known[name][None])
    assert (result.meta['layout'], len(result.meta['classes'])) == ('kinect_v1', 27)


@pytest.mark.parametrize('name', ['a28_s1_t1', 'a0_s1_t1', 'a1_s9_t1'])
def test_refuses_names_outside_the_data_set(tmp_path: Path, name: str) -> None:
    write_utd(tmp_path / f'{name}_skeleton.mat', standing(20, 3))
    with pytest.raises(UserError, match=f'{name}_skeleton.mat: the name says .* expected 1..'):
        scan(tmp_path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'other': np.ones((20, 3, 2))}, "no variable 'd_skel', found .'other'"),
        ({'d_skel': np.ones((25, 3, 2))}, r"expected 'd_skel' of shape \(20, 3, T\), found \(25, 3, 2\)"),
        ({'d_skel': 'text'}, "'d_skel' is not an array of real numbers"),
        ({'d_skel': [1j]}, "'d_skel' is not an array of real numbers"),
    ],
)
def test_names_what_is_wrong_with_a_file(tmp_path: Path, content: dict, message: str) -> None:
    savemat(tmp_path / 'a.mat', content)
    with pytest.raises(UserError, match=message):
        read_recording(Recording('a', tmp_path / 'a.mat', 0))

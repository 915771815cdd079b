import os
import zipfile

import numpy as np
import pytest

from mmdualhead.utils.arrays import load_arrays
from mmdualhead.utils.memory import BASE, STATM


def test_round_trip(tmp_path):
    np.save(tmp_path / 'x.npy', np.arange(3))
    np.savez_compressed(tmp_path / 'x.npz', a=np.zeros(10**6), b=np.arange(2))
    np.testing.assert_equal(load_arrays(tmp_path / 'x.npy'), np.arange(3))
    np.testing.assert_equal(load_arrays(tmp_path / 'x.npz'), {'a': np.zeros(10**6), 'b': np.arange(2)})


@pytest.mark.fault(
    '`.npz` that unpacks to a thousand times its size',
    '-',
    'refused before anything is unpacked',
)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / 'bomb.npz'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, archive.open('a.npy', 'w') as member:
        for _ in range(BASE // (16 << 20) + 2):
            member.write(bytes(16 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match='bytes that unpack to 301,989,888'):
        load_arrays(path)


@pytest.mark.skipif(not STATM.exists(), reason='bounds memory on Linux alone')
def test_a_header_that_promises_gigabytes_is_refused(tmp_path):
    path = tmp_path / 'x.npy'
    np.save(path, np.zeros((1, 1)))
    path.write_bytes(path.read_bytes().replace(b'(1, 1), }' + b' ' * 20, b'(1048576, 1024), }' + b' ' * 11))
    with pytest.raises(ValueError, match=r'needs more memory'):
        load_arrays(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'x.npy')
    with pytest.raises(ValueError, match='not a regular file'):
        load_arrays(tmp_path / 'x.npy')

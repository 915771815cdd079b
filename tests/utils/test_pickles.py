import contextlib
import gc
import os
import pickle
import pickletools
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdualhead.datasets import load_annotations
from mmdualhead.errors import UserError
from mmdualhead.utils.plain_arrays import PlainDtype, plain_array
from tests.datasets.clips import make_data
from tests.utils import hostile

LIGHT = Path(__file__).parents[1] / 'light.py'
PLAIN = dict(
    floats=np.arange(6.0).reshape(2, 3).T,
    half=np.asfortranarray(np.ones((2, 3), np.float16)),
    words=np.array(['ab', 'c']),
    empty=np.zeros((0, 3)),
    nothing=np.array(3.0),
    big_endian=np.arange(3, dtype='>i4'),
    numbers=[np.float32(3), np.int64(-2), np.bool_(True), np.str_('ab'), 2**80, complex(1, 2), None],
    containers=[(1,), {2}, frozenset({3}), b'', b'\xff', bytearray(b'1'), OrderedDict(a=1)],
)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'x.pkl'
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('key', PLAIN)
def test_plain_data_comes_back(write, key, protocol):
    content = pickle.dumps(PLAIN[key], protocol)
    expected, found = pickle.loads(content), load_annotations(write(content))
    np.testing.assert_equal(found, expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.flags.writeable == expected.flags.writeable


@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_files_of_either_numpy(write, core):
    content = pickle.dumps(np.arange(3), 2)
    for name in (b'numpy.core', b'numpy._core'):
        content = content.replace(name + b'.multiarray', core.encode() + b'.multiarray')
    np.testing.assert_array_equal(load_annotations(write(content)), np.arange(3))


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('thing', 'named'),
    [
        (Evil(os.system, 'touch {0}/ran'), 'posix.system'),
        (Evil(eval, '1'), 'builtins.eval'),
        (Evil(getattr, [], 'append'), 'builtins.getattr'),
        (Evil(np.load, 'x'), 'numpy.load'),
        (OSError(), 'OSError'),
        (np.array([{}, 1], dtype=object), 'object'),
        (np.zeros(3, dtype=[('a', 'f4')]), 'V4'),
        (Evil(np.ndarray, (1,), 'O', b'x' * 8), ''),
        (Evil(np._core.multiarray._reconstruct, np.matrix, (0,), b'b'), 'numpy.matrix'),
        (Evil(np._core.multiarray._reconstruct, np.ndarray, (10**15,), b'b'), 'unsupported'),
    ],
)
@pytest.mark.fault(
    'annotation pickle that holds code',
    'the code runs',
    "never runs with SkeletonDataset: refused by name. It runs with MMAction2's PoseDataset, which "
    "`configs/*_u100_*` name; safe is `dataset=dict(type='SkeletonDataset', ...)`",
)
def test_anything_else_is_refused_by_name_and_does_not_run(write, tmp_path, thing, named):
    if isinstance(thing, Evil) and thing.call[0] is os.system:
        thing.call = os.system, (f'touch {tmp_path}/ran',)
    path = write(pickle.dumps(dict(annotations=[thing])))
    with pytest.raises(ValueError, match=f'{path}.*{named}'):
        load_annotations(path)
    assert not (tmp_path / 'ran').exists()


def test_the_refusal_can_be_told_apart(write):
    with pytest.raises(UserError):
        load_annotations(write(pickle.dumps(print)))


def test_missing_empty_truncated_and_foreign_files_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match='absent'):
        load_annotations(tmp_path / 'absent.pkl')
    whole = pickle.dumps(make_data())
    for content, said in (
        (b'', 'empty'),
        (whole[: len(whole) // 2], 'truncated'),
        (b'{"a": 1}', 'not a pickle'),
    ):
        path = write(content)
        with pytest.raises(ValueError, match=f'{path}.*{said}'):
            load_annotations(path)


@pytest.mark.parametrize('content', [pickle.dumps([1]), b'x'])
def test_garbage_collection_goes_on_afterwards(write, content):
    with contextlib.suppress(ValueError):
        load_annotations(write(content))
    assert gc.isenabled()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 10**6), st.integers(0, 255))))
def test_damaged_files_load_or_end_in_a_value_error(write, damage):
    if isinstance(damage, tuple):
        content = bytearray(pickle.dumps(make_data()['annotations'][:2]))
        content[damage[0] % len(content)] = damage[1]
        damage = bytes(content)
    path = write(damage)
    try:
        load_annotations(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.fault('annotation pickle of a few bytes that asks for 8 GiB', '-', 'refused')
def test_asking_for_gigabytes_is_refused(write):
    path = write(pickle.dumps(Evil(bytearray, 8 << 30)))
    with pytest.raises(ValueError, match=f'{path}.*makes bytearray of a int'):
        load_annotations(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pkl')
    with pytest.raises(ValueError, match=r'pipe\.pkl is not a regular file'):
        load_annotations(tmp_path / 'pipe.pkl')


@pytest.mark.fault(
    'annotation pickle that enlarges the elements of an array once it has its memory',
    'reads the memory of the process',
    'the array stays as it was built',
)
def test_an_array_keeps_its_memory(tmp_path):
    for latin in (False, True):
        (tmp_path / f'{latin}.pkl').write_bytes(hostile.plain(hostile.growing_array(latin)))
    (tmp_path / 'read.py').write_text(
        'import sys; from mmdualhead.utils.pickles import load_annotations\n'
        'for path in sys.argv[1:]: print(load_annotations(path)[0])'
    )
    command = [sys.executable, LIGHT, 'read.py', 'False.pkl', 'True.pkl']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, [str(np.array(['a'] * 8))] * 2), done.stderr


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        (b'}' + hostile.nested() + b'Ns', 'tuple as a key'),
        (b'}' + hostile.nested(1) + b'Ns', 'tuple as a key'),
        (b'\x8f(' + hostile.nested(1) + b'\x90', 'tuple as a key'),
        (hostile.name('builtins', 'frozenset') + b'](' + hostile.nested(1) + b'e\x85R', 'tuple as a key'),
        (b'(' + hostile.nested(1) + b'\x91', 'tuple as a key'),
        (b'}\x8a\x08' + bytes([255] * 7) + b'\x1fNs', 'more than 60 bits'),
        (hostile.nested(), 'more work than its size justifies'),
        (b')' + b'2\x86' * 100, 'more work than its size justifies'),
        (b'(' * 1000 + b')' + b'\x85' * 1000, 'more than 64 levels'),
        (b']' * 1000 + b'a' * 999, 'more than 64 levels'),
        (b']q\0h\0a', 'more than 64 levels'),
        (b']q\0(h\0h\0e', 'more work than its size justifies'),
        (hostile.growing_lists(), 'more work than its size justifies'),
        (
            hostile.data(b'x' * 10**5) + b'q\0000](' + b'h\0' * 10**5 + b'e',
            'more work than its size justifies',
        ),
        (hostile.name('_codecs', 'encode') + hostile.text('a') + hostile.nested() + b'\x86R', 'latin1'),
        (hostile.name('numpy', 'dtype') + hostile.nested() + b'\x85R', 'array of type tuple'),
        (hostile.name('numpy', 'dtype') + hostile.text('U0') + b'\x85R', 'array of type .U0'),
        (hostile.nested() + b'Q', 'outside the file'),
        (b'}' + hostile.text('k' * 10**5) + b'Ns', 'more than 65,536 characters'),
        (hostile.name('numpy', 'dtype') + hostile.text('f4') + b'\x85R)\x81', 'makes an object'),
    ],
)
@pytest.mark.fault(
    'annotation pickle of a few bytes that takes years to hash, or is nested without end', 'hangs', 'refused'
)
def test_work_is_in_proportion_to_the_size(write, content, complaint):
    path = write(hostile.plain(content))
    with pytest.raises(UserError, match=f'{path}.*({complaint})'):
        load_annotations(path)


def test_shared_values_of_usual_files_are_read(write):
    shape, scores = (1080, 1920), np.ones((2, 3))
    clips = [dict(img_shape=shape, keypoint_score=scores, names=['a']) for _ in range(1000)]
    found = load_annotations(write(pickle.dumps(clips)))
    assert found[-1]['img_shape'] == shape
    assert found[0]['keypoint_score'] is found[-1]['keypoint_score']


def test_a_pickle_ends_where_its_file_ends(write):
    path = write(pickle.dumps([1]) + pickle.dumps([2]))
    with pytest.raises(UserError, match=f'{path}.*bytes follow its end'):
        load_annotations(path)


@pytest.mark.parametrize('kind', [complex, np.complex128])
def test_keys_whose_hashes_can_be_made_equal_are_refused(write, kind):
    with pytest.raises(UserError, match=f'{kind.__name__} as a key'):
        load_annotations(write(pickle.dumps({kind(1, 2): 3})))


@pytest.mark.fault(
    'annotation pickle of protocol 5 with arrays whose axes were exchanged (NumPy >= 2.3)',
    '-',
    'read as they are',
)
@pytest.mark.parametrize('protocol', [2, 5])
def test_exchanged_axes(write, protocol):
    array = np.arange(24.0).reshape(2, 3, 4).transpose(0, 2, 1)
    np.testing.assert_array_equal(load_annotations(write(pickle.dumps(array, protocol))), array)


@pytest.mark.parametrize('shape', [(10**40,) * 32, (1 << 61, 0), (-1, -1), ([],), [2]])
def test_shapes_are_sizes(shape):
    with pytest.raises(pickle.UnpicklingError, match='shape'):
        plain_array(b'', PlainDtype('f4'), shape)


def test_optimized_pickles_are_read(write):
    data = make_data()
    np.testing.assert_equal(load_annotations(write(pickletools.optimize(pickle.dumps(data)))), data)

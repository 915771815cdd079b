import contextlib
import gc
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdualhead.datasets import load_annotations
from mmdualhead.utils.pickles import UnsafePickleError
from tests.datasets.clips import make_data

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
        (Evil(np._core.multiarray._reconstruct, np.ndarray, (10**15,), b'b'), 'unusual'),
    ],
)
@pytest.mark.fault(
    'annotation pickle that holds code', 'the code runs', 'never runs with SkeletonDataset: refused by name'
)
def test_anything_else_is_refused_by_name_and_does_not_run(write, tmp_path, thing, named):
    if isinstance(thing, Evil) and thing.call[0] is os.system:
        thing.call = os.system, (f'touch {tmp_path}/ran',)
    path = write(pickle.dumps(dict(annotations=[thing])))
    with pytest.raises(ValueError, match=f'{path}.*{named}'):
        load_annotations(path)
    assert not (tmp_path / 'ran').exists()


def test_the_refusal_can_be_told_apart(write):
    with pytest.raises(UnsafePickleError):
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

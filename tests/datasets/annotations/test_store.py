import copy
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdualhead.datasets import StoreWriter, open_store, write_store
from mmdualhead.datasets.annotations.clips import tabulate
from mmdualhead.datasets.annotations.store import INDEX, Store, StoreClips
from mmdualhead.errors import Level, UserError
from tests.datasets.clips import make_annotations, make_clip, make_data


@pytest.fixture
def data():
    annotations = make_annotations(6, img_shape=[480, 640])
    annotations[2]['keypoint_score'] = np.random.default_rng(0).random((1, 26, 25), np.float32)
    return make_data(annotations, meta=dict(dataset='own', layout='nturgb+d', count=np.int64(3)))


@pytest.fixture
def store(tmp_path, data):
    write_store(tmp_path / 'own.store', data)
    return open_store(tmp_path / 'own.store')


def test_round_trip(store, data):
    assert len(store) == 6
    for found, expected in zip(store, data['annotations'], strict=True):
        np.testing.assert_equal(found, expected)
        assert found['keypoint'].dtype == np.float32
        assert type(found['label']) is int
    assert store.meta == data['meta']
    assert store.records['score'].tolist() == [-1, -1, 0, -1, -1, -1]
    assert {name: [clip['frame_dir'] for clip in store.select(name)] for name in store.splits} == data[
        'split'
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.booleans()),
        max_size=5,
    )
)
def test_round_trip_of_any_shape(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp('any') / 'x.store'
    rng = np.random.default_rng(0)
    clips = []
    for index, (*shape, scored) in enumerate(shapes):
        clips.append(dict(frame_dir=f'clip {index} ü', label=index, total_frames=shape[1]))
        clips[-1]['keypoint'] = rng.random(shape, np.float32)
        if scored:
            clips[-1]['keypoint_score'] = rng.random(shape[:3], np.float32)
    write_store(path, make_data(clips))
    np.testing.assert_equal(list(open_store(path)), clips)


def test_half_precision(tmp_path, data):
    write_store(tmp_path / 'half.store', data, dtype='float16')
    found = open_store(tmp_path / 'half.store')[0]['keypoint']
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, data['annotations'][0]['keypoint'].astype(np.float16))


def test_clips_can_be_changed_without_changing_the_store(store):
    store[0]['keypoint'][:] = 7
    assert not (store[0]['keypoint'] == 7).any()


def test_selections_slice_and_survive_copies_and_pickling(store):
    clips = store.select('train')
    names = [clip['frame_dir'] for clip in clips]
    assert [clip['frame_dir'] for clip in clips[1:]] == names[1:]
    assert clips[-1]['frame_dir'] == names[-1]
    assert [clip['frame_dir'] for clip in clips[np.array([True, False, True])]] == [names[0], names[2]]
    for twin in (copy.deepcopy(clips), pickle.loads(pickle.dumps(clips))):
        assert isinstance(twin, StoreClips)
        np.testing.assert_equal(list(twin), list(clips))
    with pytest.raises(IndexError):
        clips[3]
    with pytest.raises(IndexError):
        store[6]


def test_the_table_equals_that_of_the_clips_in_memory(store):
    clips = store.select('train')
    found, _ = clips.table()
    expected, _ = tabulate(list(clips))
    for column in expected._fields:
        np.testing.assert_allclose(getattr(found, column), getattr(expected, column))


def test_reading_without_pread(store, data, monkeypatch):
    monkeypatch.delattr('os.pread')
    np.testing.assert_equal(list(store), data['annotations'])


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(label='walk'), 'label.*integer'),
        (dict(keypoint=np.zeros((30, 25, 3))), r'keypoint.*\(M, T, V, C\)'),
        (dict(total_frames=7), 'total_frames'),
        (dict(keypoint_score=np.zeros((1, 2, 3))), 'keypoint_score'),
        (dict(frame_dir='S000'), 'second clip'),
        (dict(extra=object()), 'object'),
    ],
)
def test_the_writer_refuses_malformed_clips(tmp_path, change, said):
    with StoreWriter(tmp_path / 'x.store') as writer:
        writer.add(make_clip(seed=0))
        with pytest.raises((ValueError, TypeError), match=said):
            writer.add(make_clip(seed=1) | change)
        writer.close(dict(all=['S000']))
    np.testing.assert_equal(list(open_store(tmp_path / 'x.store')), [make_clip(seed=0)])


def test_nothing_is_left_behind_by_a_failure(tmp_path):
    with StoreWriter(tmp_path / 'x.store') as writer:
        writer.add(make_clip())
        with pytest.raises(ValueError, match=r"'train' names 1 clip .*'absent'"):
            writer.close(dict(train=['absent']))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_of_the_same_number_left_is_removed(tmp_path):
    (tmp_path / f'x.store.tmp-{os.getpid()}').mkdir()
    write_store(tmp_path / 'x.store', make_data(make_annotations(2)))
    assert [entry.name for entry in tmp_path.iterdir()] == ['x.store']


@pytest.mark.skipif(not Path('/proc/self/fd').exists(), reason='counts open files in /proc')
def test_files_are_closed_with_the_store(tmp_path, data):
    before = len(os.listdir('/proc/self/fd'))
    write_store(tmp_path / 'x.store', data)
    store = open_store(tmp_path / 'x.store')
    store[0]
    assert len(os.listdir('/proc/self/fd')) > before
    del store
    assert len(os.listdir('/proc/self/fd')) == before


def test_a_new_store_replaces_the_old_one_only_when_it_is_whole(tmp_path):
    path = tmp_path / 'x.store'
    write_store(path, make_data(make_annotations(2)))
    writer = StoreWriter(path)
    writer.add(make_clip())
    assert len(open_store(path)) == 2
    writer.close(dict(train=['S000']))
    assert len(open_store(path)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ['x.store']


def test_damage_is_named(store, tmp_path):
    path = store.path
    (path / 'keypoint.bin').write_bytes(b'123')
    with pytest.raises(ValueError, match=r'own\.store.*keypoint\.bin should have [\d,]+ bytes, found 3'):
        open_store(path)
    (path / 'keypoint.bin').unlink()
    with pytest.raises(ValueError, match='no such file'):
        open_store(path)
    header = json.loads((path / 'meta.json').read_text())
    (path / 'meta.json').write_text(json.dumps(header | dict(version=99)))
    with pytest.raises(ValueError, match=r'version 1.*99'):
        open_store(path)
    (path / 'meta.json').write_text('{')
    with pytest.raises(ValueError, match='not a store'):
        open_store(path)
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path / 'absent.store')


def test_a_file_cut_after_opening_ends_in_an_error(store):
    with (store.path / 'keypoint.bin').open('r+b') as file:
        file.truncate(100)
    with pytest.raises(ValueError, match=r'keypoint\.bin ends before'):
        store[5]


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='reads memory from /proc')
def test_reading_everything_takes_no_memory(tmp_path):
    size = 2**18
    with StoreWriter(tmp_path / 'big.store') as writer:
        for index in range(200):
            keypoint = np.full((1, size // 64, 4, 4), index, np.float32)
            writer.add(dict(frame_dir=str(index), label=0, keypoint=keypoint))
        writer.close(dict(all=map(str, range(200))))
    clips = open_store(tmp_path / 'big.store').select('all')

    def resident():
        return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    clips[0]
    before = resident()
    assert sum(float(clip['keypoint'][0, 0, 0, 0]) for clip in clips) == sum(range(200))
    assert resident() - before < 10 * size  # of 200 * size bytes


def flip(path, position):
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_store_as_it_was_written_is_undamaged(store):
    assert [(one.level, one.text) for one in store.verify()] == [(Level.NOTE, 'checksums compared')]


@pytest.mark.parametrize(
    ('name', 'position', 'said'),
    [
        ('keypoint.bin', 40, "clip 'S000' has changed"),
        ('keypoint.bin', -1, "clip 'S005' has changed"),
        ('score.bin', 0, "clip 'S002' has changed"),
        ('info.bin', 0, 'clip #0 has changed, including its name'),
        ('info.bin', 16, "clip 'S100' has changed"),
        ('clips.bin', 28, 'clips.bin has changed'),
        ('split-0.npy', -8, 'split-0.npy has changed'),
        ('crc.bin', 0, 'crc.bin has changed'),
        ('meta.json', None, 'meta.json has changed'),
    ],
)
@pytest.mark.fault('a bit of a store flips', '-', '`mmdualhead data check` names the clip or file')
def test_a_flipped_bit_is_found(store, name, position, said):
    flip(
        store.path / name, (store.path / name).read_bytes().index(b'nturgb') if position is None else position
    )
    assert [(one.level, one.text) for one in open_store(store.path).verify()] == [(Level.ERROR, said)]


def test_a_store_without_checksums_is_read(store, data):
    header = json.loads((store.path / 'meta.json').read_text())
    del header['checksums'], header['checksum'], header['sizes']['crc.bin']
    (store.path / 'meta.json').write_text(json.dumps(header))
    (store.path / 'crc.bin').unlink()
    store = open_store(store.path)
    np.testing.assert_equal(list(store), data['annotations'])
    (finding,) = store.verify()
    assert finding.level is Level.NOTE
    assert 'no checksums' in finding.text


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('keypoint', 10**6),
        ('keypoint', -5),
        ('score', 10**6),
        ('info', 10**6),
        ('info_size', -1),
        ('shape', 10**5),
    ],
)
@pytest.mark.fault('a store whose index points out of its files', '-', 'refused, with the file and the clip')
def test_an_index_out_of_range_is_refused(store, field, value):
    records = np.fromfile(store.path / 'clips.bin', INDEX)
    records[2][field] = value
    records.tofile(store.path / 'clips.bin')
    with pytest.raises(UserError, match=r'own\.store: clips\.bin is damaged: .* clip #2 first'):
        open_store(store.path)


@pytest.mark.parametrize('positions', [[0, 6], [-1], [-1, 0], [[0]], [0.5]])
def test_a_split_out_of_range_is_refused(store, positions):
    np.save(store.path / 'split-1.npy', positions)
    with pytest.raises(UserError, match=r"split-1\.npy \(split 'val'\) is damaged"):
        store.select('val')
    (store.path / 'split-1.npy').write_bytes(b'x')
    with pytest.raises(UserError, match=r"split-1\.npy \(split 'val'\) is damaged"):
        store.select('val')


@pytest.mark.parametrize('name', ['meta.json', 'clips.bin', 'keypoint.bin', 'info.bin', 'split-0.npy'])
@pytest.mark.fault('a pipe in the place of a file of a store', '-', 'refused, with its name')
def test_a_pipe_is_refused_and_not_waited_for(store, name):
    (store.path / name).unlink()
    os.mkfifo(store.path / name)
    with pytest.raises(UserError, match=name):
        Store(store.path)


def test_a_header_of_any_depth_is_refused(store):
    (store.path / 'meta.json').write_text('[' * 10**6)
    with pytest.raises(UserError, match='nested more than'):
        Store(store.path)


@pytest.mark.parametrize('shape', [(2**30, 2**30, 4, 0), (2**31 - 1,) * 4])
def test_sizes_beyond_integers_are_refused(store, shape):
    records = np.fromfile(store.path / 'clips.bin', INDEX)
    records['shape'][2] = shape
    records.tofile(store.path / 'clips.bin')
    with pytest.raises(UserError, match='clip #2 first'):
        Store(store.path)


def test_many_clips_at_one_place_are_refused(store):
    records = np.fromfile(store.path / 'clips.bin', INDEX)
    records['info'], records['info_size'] = 0, (store.path / 'info.bin').stat().st_size
    records.tofile(store.path / 'clips.bin')
    with pytest.raises(UserError, match='clip #1 first'):
        Store(store.path)


def test_fields_that_are_none_are_named(store):
    content = (store.path / 'info.bin').read_bytes()
    (store.path / 'info.bin').write_bytes(b'[' * len(content))
    with pytest.raises(UserError, match=r'clip #0 has changed'):
        Store(store.path)[0]


def test_clips_named_by_files_are_refused(tmp_path):
    clips = make_annotations()
    clips[2]['filename'] = clips[2].pop('frame_dir')
    with pytest.raises(UserError, match=r"clip 'S002': a store needs the field frame_dir"):
        write_store(tmp_path / 'x.store', make_data(clips))

"""Files of all kinds are found and read; what can't be read is told when its turn comes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import readers
from mmdualhead.apis.recordings import RecordingError, find_recordings
from mmdualhead.datasets.annotations.store import Store, StoreWriter, write_store
from tests.datasets.converters.raw_files import (
    BODY_A,
    kinetics_frame,
    ntu_frames,
    standing,
    write_msr,
    write_ntu,
    write_ucla,
    write_utd,
)


def read(inputs, **options):
    return [item.read() for item in find_recordings(inputs, **options)]


@pytest.fixture
def joints():
    return standing(20, 6)


class TestFiles:
    def test_ntu(self, tmp_path):
        path = tmp_path / 'S001C001P001R001A023.skeleton'
        body = standing(25, 6)
        write_ntu(path, ntu_frames({BODY_A: (0, body)}, 6))
        (one,) = read(path)
        np.testing.assert_allclose(one.keypoint, body[None], atol=1e-6)
        assert (one.layout, one.label, one.path) == ('nturgb+d', 'hand waving', path)

    def test_a_name_that_says_no_class(self, tmp_path):
        write_ntu(tmp_path / 'mine.skeleton', ntu_frames({BODY_A: (0, standing(25, 6))}, 6))
        assert read(tmp_path / 'mine.skeleton')[0].label is None

    def test_utd_mhad_msr_and_nw_ucla(self, tmp_path, joints):
        write_utd(tmp_path / 'a7_s2_t1_skeleton.mat', joints)
        write_msr(tmp_path / 'a02_s01_e01_skeleton3D.txt', joints)
        write_ucla(tmp_path / 'a03_s01_e00_v01.json', 3, joints)
        found = read(tmp_path)
        assert [one.label for one in found] == ['horizontal arm wave', 'drop trash', 'basketball shoot']
        for one in found:
            np.testing.assert_allclose(one.keypoint, joints[None], atol=1e-6)
            assert one.layout == 'kinect_v1'

    def test_kinetics_skeleton(self, tmp_path):
        person = np.random.default_rng(0).uniform(0.2, 0.9, (18, 3))
        content = {'data': [kinetics_frame(1, person)], 'label': 'yoga', 'label_index': 398}
        (tmp_path / 'x.json').write_text(json.dumps(content))
        (one,) = read(tmp_path / 'x.json')
        np.testing.assert_allclose(one.keypoint[0, 0, :, :2], person[:, :2] - 0.5, atol=1e-6)
        assert (one.layout, one.label) == ('openpose', 'yoga')

    def test_arrays_of_ones_own(self, tmp_path, joints):
        np.save(tmp_path / 'a.npy', joints)
        np.savez(tmp_path / 'b.npz', keypoint=joints[None])
        np.savetxt(tmp_path / 'c.csv', joints.reshape(6, -1), delimiter=',')
        for one in read(tmp_path):
            np.testing.assert_allclose(one.keypoint, joints[None], atol=1e-6)
            assert one.layout is None

    @pytest.mark.fault('files of a folder that end in upper case, such as A.CSV', 'left out', 'read')
    def test_names_in_upper_case(self, tmp_path, joints):
        for name in ('a.csv', 'B.CSV'):
            np.savetxt(tmp_path / name, joints.reshape(6, -1), delimiter=',')
        np.save(tmp_path / 'c.npy', joints)
        (tmp_path / 'c.npy').rename(tmp_path / 'C.NPY')
        found = read(tmp_path)
        assert [item.name for item in found] == ['B', 'C', 'a']
        for item in found:
            np.testing.assert_allclose(item.keypoint.reshape(6, 20, 3), joints, atol=1e-6)

    def test_patterns_and_lists(self, tmp_path, joints):
        for i in range(3):
            write_utd(tmp_path / f'a{i + 1}_s2_t1_skeleton.mat', joints)
        assert len(read(str(tmp_path / 'a[12]*.mat'))) == 2
        assert len(read([str(tmp_path / 'a1*'), joints, tmp_path / 'a3_s2_t1_skeleton.mat'])) == 3


class TestAnnotations:
    @pytest.fixture
    def content(self, joints):
        clips = [
            dict(frame_dir=f'c{i}', label=i, total_frames=6, keypoint=joints[None] + i) for i in range(3)
        ]
        meta = dict(layout='kinect_v1', classes=['a', 'b', 'c'])
        return dict(split=dict(train=['c0', 'c1'], val=['c2']), annotations=clips, meta=meta)

    def test_pickle(self, tmp_path, content):
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content))
        assert [one.name for one in read(tmp_path / 'x.pkl')] == ['c0', 'c1', 'c2']
        (one,) = read(tmp_path / 'x.pkl', split='val')
        assert (one.name, one.label, one.layout, one.annotated) == ('c2', 2, 'kinect_v1', True)

    def test_store(self, tmp_path, content, monkeypatch):
        with StoreWriter(tmp_path / 'x.store', content['meta']) as writer:
            for clip in content['annotations']:
                writer.add(clip)
            writer.close(content['split'])
        assert [one.label for one in read(tmp_path / 'x.store')] == [0, 1, 2]
        assert [one.name for one in read(tmp_path)] == ['c0', 'c1', 'c2']
        monkeypatch.delattr(Store, '__getitem__')
        assert len(find_recordings(tmp_path)) == 3, 'nothing is read before its turn'

    @pytest.mark.fault('prediction of annotations that share a name, or are in no split', '-', 'predicted')
    @pytest.mark.parametrize('kind', ['pkl', 'store'])
    def test_every_annotation_is_read(self, tmp_path, content, kind):
        content['split'] = dict(train=['c0'], val=['c0'])
        path, expected = tmp_path / f'x.{kind}', ['c0', 'c1', 'c2']
        if kind == 'pkl':
            content['annotations'][1]['frame_dir'] = expected[1] = 'c0'
            path.write_bytes(pickle.dumps(content))
        else:
            write_store(path, content)
        found = read(path)
        assert [one.name for one in found] == expected
        assert [one.label for one in found] == [0, 1, 2]

    def test_one_annotation(self, content):
        (one,) = read(content['annotations'][1])
        assert (one.name, one.label) == ('c1', 1)


class TestPoses:
    @pytest.fixture
    def poses(self):
        rng = np.random.default_rng(0)
        return [
            dict(keypoints=rng.uniform(0, 200, (persons, 17, 2)), keypoint_scores=rng.random((persons, 17)))
            for persons in (1, 2, 0)
        ]

    def test_they_are_arranged_as_mmaction2_does(self, poses):
        (one,) = read(poses, img_shape=(240, 320))
        assert one.keypoint.shape == (2, 3, 17, 2)
        np.testing.assert_allclose(one.keypoint[1, 1], poses[1]['keypoints'][1], rtol=1e-6)
        np.testing.assert_allclose(one.keypoint_score[0, 0], poses[0]['keypoint_scores'][0], rtol=1e-6)
        assert not one.keypoint[1, 0].any()
        assert not one.keypoint[:, 2].any()

    def test_several_videos(self, poses):
        first, second = read([poses, poses[::-1]], img_shape=(240, 320))
        np.testing.assert_array_equal(second.keypoint, first.keypoint[:, ::-1])

    def test_the_size_of_the_picture_is_needed(self, poses):
        with pytest.raises(ValueError, match='img_shape: poses are in pixels'):
            read(poses)

    def test_other_shapes_are_refused(self, poses):
        poses[1]['keypoint_scores'] = np.ones((2, 5))
        with pytest.raises(ValueError, match='keypoint_scores: frame 1'):
            read(poses, img_shape=(240, 320))


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestBadFiles:
    @pytest.mark.parametrize(
        ('name', 'content', 'message'),
        [
            ('x.skeleton', b'3\n1\n', 'the file ends within a body of frame 0'),
            ('x.skeleton', b'', 'the file ends where the number of frames should be'),
            ('x.skeleton', b'2\n0\n0\n', 'no person in any of 2 frames'),
            ('x.mat', b'MATLAB', 'not a Matlab 5 file'),
            ('x.json', b'{"skeletons": [', 'not JSON'),
            ('x.json', b'{"a": 1}', 'expected JSON of NW-UCLA, Kinetics'),
            ('x.npy', b'\x93NUMPY', 'not a readable NumPy file'),
            ('x.csv', b'1,2,3,4,5,6,8\n', '7 columns, expected x, y'),
            ('x.pkl', b'\x80\x04', 'truncated or not a pickle'),
            ('x.xyz', b'', "files of recordings end with .*, not with '.xyz'"),
            ('x.mp4', b'', 'a video: "mmdualhead video x.mp4"'),
        ],
    )
    def test_are_told_when_they_are_read(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        (item,) = find_recordings(tmp_path / name)
        assert item.where == str(tmp_path / name)
        with pytest.raises(ValueError, match=message):
            item.read()

    @pytest.mark.parametrize('path', ['nothere.mat', 'nothere/*.mat', '.'])
    def test_so_are_those_that_are_not_there(self, tmp_path, path):
        (item,) = find_recordings(str(tmp_path / path))
        with pytest.raises(ValueError, match=r'no such file|no file matches|no recordings in this directory'):
            item.read()

    def test_a_pickle_with_a_program_does_not_run(self, tmp_path):
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps(Evil(tmp_path / 'ran')))
        np.save(tmp_path / 'x.npy', np.array([Evil(tmp_path / 'ran')], object), allow_pickle=True)
        for item in find_recordings([tmp_path / 'x.pkl', tmp_path / 'x.npy']):
            with pytest.raises(ValueError, match=r'was refused|not a readable NumPy file'):
                item.read()
        assert not (tmp_path / 'ran').exists()

    @pytest.mark.parametrize('name', ['x.npy', 'x.skeleton', 'x.pkl'])
    def test_too_large_a_file_is_not_read(self, tmp_path, name):
        with (tmp_path / name).open('wb') as file:
            file.truncate(10 << 30)
        (item,) = find_recordings(tmp_path / name)
        with pytest.raises(ValueError, match=r'the file has 10\.0 GiB, at most'):
            item.read()

    def test_an_unknown_split_is_named(self, tmp_path):
        content = dict(split=dict(val=[]), annotations=[])
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content))
        (item,) = find_recordings(tmp_path / 'x.pkl', split='test')
        with pytest.raises(ValueError, match=r"split 'test' is not one of \['val'\]"):
            item.read()

    def test_nothing_is_refused_at_once(self):
        with pytest.raises(RecordingError, match='the list of inputs is empty'):
            find_recordings([])


def test_suffixes_are_those_that_the_docs_name():
    assert set(readers.SUFFIXES) == {
        *(
            '.skeleton',
            '.mat',
            '_skeleton3D.txt',
            '.json',
            '_keypoints.json',
            '.skeleton.npy',
            '.npy',
            '.npz',
            '.csv',
            '.pkl',
            '.pickle',
            '.store',
        )
    }

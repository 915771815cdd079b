from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis.readers import read_file
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.datasets.poses.arrays import clips_in

from .estimators import write_agcn, write_ctrgcn

NAMES = [f'S001C001P001R001A00{i}.skeleton' for i in (1, 2, 3)]


@pytest.fixture
def clips() -> np.ndarray:
    """(N, M, T, V, C), padded with zeros; the second person is in one clip alone."""
    x = np.random.default_rng(0).normal(size=(3, 2, 8, 25, 3)).astype(np.float32)
    x[:, :, 6:] = 0
    x[1:, 1] = 0
    return x


class TestOfCTRGCN:
    def test_clips(self, tmp_path: Path, clips: np.ndarray) -> None:
        found = [
            one.read() for one in find_recordings(write_ctrgcn(tmp_path / 'NTU60_CS.npz', clips, [0, 5, 59]))
        ]
        assert [one.name for one in found] == ['train_0', 'train_1', 'train_2', 'test_0']
        assert [one.label for one in found][:2] == ['drink water', 'pick up']
        np.testing.assert_array_equal(found[0].keypoint, clips[0, :, :6])
        np.testing.assert_array_equal(found[1].keypoint, clips[1, :1, :6])
        assert {one.layout for one in found} == {'nturgb+d'}

    def test_splits(self, tmp_path: Path, clips: np.ndarray) -> None:
        path = write_ctrgcn(tmp_path / 'x.npz', clips, [0, 1, 2])
        assert [one.name for one in find_recordings(path, split='test')] == ['test_0']
        (one,) = find_recordings(path, split='val')
        with pytest.raises(ValueError, match=r"split 'val' is not one of \['test', 'train'\]"):
            one.read()

    def test_clips_stay_in_the_file(self, tmp_path: Path, clips: np.ndarray) -> None:
        (first, *_) = clips_in(write_ctrgcn(tmp_path / 'x.npz', clips, [0, 1, 2]))
        assert isinstance(first.load.args[0], np.memmap)

    def test_damage_is_named(self, tmp_path: Path, clips: np.ndarray) -> None:
        path = tmp_path / 'x.npz'
        flat = clips.transpose(0, 2, 1, 3, 4).reshape(3, 8, 150)
        for arrays, message in (
            (dict(x_train=flat, y_train=np.eye(60)[:2]), r'x_train and y_train have shapes \(3, 8, 150\)'),
            (dict(x_train=flat[..., 1:], y_train=np.eye(60)[:3]), 'x_train and y_train have shapes'),
            (dict(x_train=flat, y_train=np.zeros((3, 60))), 'y_train: expected a single 1'),
        ):
            np.savez(path, **arrays)
            with pytest.raises(ValueError, match=message):
                find_recordings(path)[0].read()
        np.savez_compressed(path, x_train=flat, y_train=np.eye(60)[:3])
        with pytest.raises(ValueError, match=r'x_train.npy is compressed; save the arrays by numpy\.savez'):
            find_recordings(path)[0].read()


class TestOfAGCN:
    def test_clips(self, tmp_path: Path, clips: np.ndarray) -> None:
        found = [one.read() for one in find_recordings(write_agcn(tmp_path, clips, NAMES, [0, 1, 2]))]
        assert [one.name for one in found] == [name.removesuffix('.skeleton') for name in NAMES]
        assert [one.label for one in found] == ['drink water', 'eat meal', 'brush teeth']
        np.testing.assert_array_equal(found[0].keypoint, clips[0, :, :6])
        np.testing.assert_array_equal(found[2].keypoint, clips[2, :1, :6])
        assert found[0].layout == 'nturgb+d'

    def test_other_data_sets_have_the_layout_of_the_model(self, tmp_path: Path, clips: np.ndarray) -> None:
        (one, *_) = find_recordings(write_agcn(tmp_path, clips[..., :18, :], ['a', 'b', 'c'], [3, 4, 5]))
        found = one.read()
        assert (found.layout, found.label, found.where.endswith('clip a')) == (None, 3, True)

    def test_damage_is_named(self, tmp_path: Path, clips: np.ndarray) -> None:
        path = write_agcn(tmp_path, clips, NAMES, [0, 1])
        with pytest.raises(ValueError, match=r'val_label\.pkl: expected 3 names and as many labels'):
            find_recordings(path)[0].read()
        (tmp_path / 'val_label.pkl').unlink()
        with pytest.raises(ValueError, match=r'val_label\.pkl: no such file'):
            find_recordings(path)[0].read()
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(ValueError, match=r'an array of shape \(3, 3, 8, 25, 2\)'):
            find_recordings(path)[0].read()

    @pytest.mark.fault('array of bones or motions given for one of joints', '-', 'refused')
    def test_bones_are_not_joints(self, tmp_path: Path, clips: np.ndarray) -> None:
        path = write_agcn(tmp_path, clips, NAMES, [0, 1, 2]).rename(tmp_path / 'val_data_bone.npy')
        with pytest.raises(ValueError, match='keypoint: expected numbers of shape'):
            find_recordings(path)[0].read()


class TestOfTxt2npy:
    def save(self, path: Path, **changed: np.ndarray) -> Path:
        bodies = np.random.default_rng(1).normal(scale=0.3, size=(2, 6, 25, 3))
        bodies[1] += 3
        bodies[0, 4] = 0
        content = dict(file_name='S001C001P001R001A007', nbodys=[2] * 6, njoints=25)
        content |= dict(skel_body0=bodies[0], skel_body1=bodies[1], rgb_body0=np.zeros((6, 25, 2)), **changed)
        np.save(path, content)
        return path

    def test_bodies(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / 'S001C001P001R001A007.skeleton.npy')
        content = np.load(path, allow_pickle=True).item()
        found = read_file(str(path))
        np.testing.assert_allclose(found.keypoint[0], content['skel_body0'], rtol=1e-6)
        np.testing.assert_allclose(found.keypoint[1], content['skel_body1'], rtol=1e-6)
        assert (found.layout, found.label) == ('nturgb+d', 'throw')
        assert find_recordings(path)[0].read().name == path.stem

    def test_damage_is_named(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / 'x.skeleton.npy', skel_body2=np.zeros((5, 25, 3)))
        with pytest.raises(ValueError, match='skel_body0 and others have shapes'):
            read_file(path)
        np.save(path, {'a': 1})
        with pytest.raises(ValueError, match="expected an object with 'skel_body0'"):
            read_file(path)
        np.save(path, np.ones(3))
        with pytest.raises(ValueError, match='expected a dict, found an array'):
            read_file(path)
        path.write_bytes(b'')
        with pytest.raises(ValueError, match='not a NumPy file'):
            read_file(path)

    @pytest.mark.fault('dict of NumPy that runs a program', '-', 'refused')
    def test_programs_do_not_run(self, tmp_path: Path) -> None:
        path = tmp_path / 'x.skeleton.npy'
        np.save(path, {'skel_body0': Evil(tmp_path / 'ran')})
        with pytest.raises(ValueError, match='was refused'):
            read_file(path)
        assert not (tmp_path / 'ran').exists()

    def test_other_objects_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'x.skeleton.npy'
        np.save(path, np.array([{'a': 1}, {'b': 2}], object), allow_pickle=True)
        with pytest.raises(ValueError, match='expected a dict, found an array'):
            read_file(path)
        header = path.read_bytes()[:128].replace(b'(2,)', b'()  ')
        path.write_bytes(header + pickle.dumps(np.array([{}, {}], object), 4))
        with pytest.raises(ValueError, match='was refused'):
            read_file(path)


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)

"""The shared runner, with a format of one number a file: T frames of one person with one joint."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.annotations.store import Store, write_store
from mmdualhead.datasets.converters import Clip, EmptyRecording, RawDataset, Recording, convert
from mmdualhead.datasets.converters.unfinished import Unfinished
from mmdualhead.errors import UserError
from mmdualhead.utils.files import FolderLock, atomic_write

LAYOUT = dict(joints=1, bones=[])
NUM_CLIPS = 49


def read(recording: Recording, log: Path | None = None) -> Clip:
    if log is not None:
        with log.open('a') as file:
            file.write(recording.name + '\n')
    text = recording.path.read_text()
    if text == 'stop':
        raise KeyboardInterrupt
    if text == 'empty':
        raise EmptyRecording('nobody here')
    if not text.isdigit():
        raise UserError(f'{text!r} is not a number')
    frames = np.arange(1, 1 + int(text), dtype=np.float32)
    return Clip(np.stack([frames] * 3, axis=-1)[None, :, None], recording.label)


def twice(clip: Recording) -> Recording:
    return replace(clip, keypoint=2 * clip.keypoint)


def die(recording: Recording) -> Clip:
    if recording.name == '020':
        os._exit(9)
    return read(recording)


def make_dataset(src: Path, read=read) -> RawDataset:
    recordings = [
        Recording(path.name, path, i % 3, str(i % 2), ('train' if i % 2 else 'val',))
        for i, path in enumerate(sorted(src.iterdir()))
    ]
    meta = dict(dataset='numbers', layout=LAYOUT)
    return RawDataset(meta=meta, recordings=recordings, read=read, left_out={'x': 'unwanted'})


@pytest.fixture
def src(tmp_path: Path) -> Path:
    src = tmp_path / 'src'
    src.mkdir()
    for i in range(NUM_CLIPS):
        (src / f'{i:03d}').write_text(str(1 + i))
    return src


def load(path: Path) -> dict:
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize('workers', [0, 2])
def test_writes_every_clip_in_order(src: Path, tmp_path: Path, workers: int) -> None:
    summary = convert(make_dataset(src), tmp_path / 'a' / 'out.pkl', workers=workers)
    result = load(tmp_path / 'a' / 'out.pkl')
    assert [a['frame_dir'] for a in result['annotations']] == [f'{i:03d}' for i in range(NUM_CLIPS)]
    for i, annotation in enumerate(result['annotations']):
        assert (annotation['label'], annotation['total_frames']) == (i % 3, 1 + i)
        assert annotation['keypoint'].shape == (1, 1 + i, 1, 3)
        assert annotation['keypoint'].dtype == np.float32
        np.testing.assert_array_equal(annotation['keypoint'][0, :, 0, 2], np.arange(1, 2 + i))
    assert result['split']['train'] == [f'{i:03d}' for i in range(1, NUM_CLIPS, 2)]
    assert result['split']['val'] == [f'{i:03d}' for i in range(0, NUM_CLIPS, 2)]
    expected = dict(dataset='numbers', layout=LAYOUT, normalized=False, left_out={'x': 'unwanted'})
    assert result['meta'] == expected
    assert f'{NUM_CLIPS} clips, 3 classes, 2 subjects' in str(summary)
    assert '1: unwanted (x)' in str(summary)
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['out.pkl']


def test_is_the_same_with_any_number_of_workers(src: Path, tmp_path: Path) -> None:
    for workers in (0, 1, 3):
        convert(make_dataset(src), tmp_path / f'{workers}.pkl', workers=workers)
    assert len({(tmp_path / f'{workers}.pkl').read_bytes() for workers in (0, 1, 3)}) == 1


def test_names_all_malformed_files_and_writes_nothing(src: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out.pkl'
    out.write_text('an older result')
    (src / '005').write_text('abc')
    (src / '040').write_text('def')
    with pytest.raises(UserError, match=r'(?s)2 malformed.*005: .abc. is not a number.*040: .def. is') as e:
        convert(make_dataset(src), out, workers=2)
    assert '--on-error skip' in str(e.value)
    assert out.read_text() == 'an older result'


def test_skips_malformed_files_and_says_so(src: Path, tmp_path: Path) -> None:
    (src / '005').write_text('abc')
    summary = convert(make_dataset(src), tmp_path / 'out.pkl', workers=0, skip_malformed=True)
    result = load(tmp_path / 'out.pkl')
    assert '005' not in {a['frame_dir'] for a in result['annotations']} | set(result['split']['train'])
    assert result['meta']['left_out'] == {'x': 'unwanted', '005': "malformed: 'abc' is not a number"}
    assert "1: malformed: 'abc' is not a number (005)" in str(summary)


def test_leaves_out_empty_clips_and_says_so(src: Path, tmp_path: Path) -> None:
    (src / '007').write_text('empty')
    summary = convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)
    assert len(load(tmp_path / 'out.pkl')['annotations']) == NUM_CLIPS - 1
    assert '1: nobody here (007)' in str(summary)


@pytest.mark.parametrize(
    ('keypoint', 'message'),
    [
        (np.ones((1, 2, 2, 3)), r'expected \(M, T, 1, C\), found \(1, 2, 2, 3\)'),
        (np.ones((2, 1, 3)), r'found \(2, 1, 3\)'),
        (np.ones((30, 2, 1, 3)), r'reads as \(T, M, V, C\)'),
        (np.array([[[[1.0, np.nan, 1.0]]]]), 'person 0, frame 0, joint 0'),
        (np.array([[[[1.0, 1.0, -np.inf]]]]), r'joint 0 \(.*\): -inf, in 1 joint, is not finite'),
    ],
)
def test_checks_what_readers_return(src: Path, tmp_path: Path, keypoint: np.ndarray, message: str) -> None:
    dataset = make_dataset(src, read=lambda recording: Clip(keypoint, recording.label))
    dataset = RawDataset(meta=dataset.meta, recordings=dataset.recordings[:1], read=dataset.read)
    with pytest.raises(UserError, match=message):
        convert(dataset, tmp_path / 'out.pkl', workers=0)


@pytest.mark.fault('a label that a reader gives as another number or a name', '-', 'an integer, or refused')
def test_labels_of_readers(src: Path, tmp_path: Path) -> None:
    def dataset(label: object) -> RawDataset:
        keypoint = np.ma.masked_invalid(np.ones((1, 2, 1, 3)))  # an array of another kind is as good
        return make_dataset(src, read=lambda _: Clip(keypoint, label))

    convert(dataset(np.int64(1)), tmp_path / 'out.pkl', workers=0)
    assert {type(clip['label']) for clip in load(tmp_path / 'out.pkl')['annotations']} == {int}
    for label, said in (('wave', "label 'wave' is not an index"), (1.5, 'label 1.5'), (-1, 'label -1')):
        with pytest.raises(UserError, match=said):
            convert(dataset(label), tmp_path / f'{label}.pkl', workers=0)


@pytest.mark.parametrize(
    ('keypoint', 'reason'),
    [
        (np.zeros((1, 2, 1, 3)), 'no person, all coordinates are zero'),
        (np.ones((0, 2, 1, 3)), r'no person, shape \(0, 2, 1, 3\)'),
        (np.ones((1, 0, 1, 3)), r'no frames, shape \(1, 0, 1, 3\)'),
    ],
)
def test_fails_when_no_clip_is_left(src: Path, tmp_path: Path, keypoint: np.ndarray, reason: str) -> None:
    dataset = make_dataset(src, read=lambda recording: Clip(keypoint, recording.label))
    with pytest.raises(UserError, match=f'(?s)no clip is left.*keypoint: {reason}'):
        convert(dataset, tmp_path / 'out.pkl', workers=0)
    assert not (tmp_path / 'out.pkl').exists()


@pytest.mark.parametrize('suffix', ['.pkl', '.store'])
def test_continues_where_it_was_interrupted(src: Path, tmp_path: Path, suffix: str) -> None:
    log, out = tmp_path / 'log', tmp_path / f'out{suffix}'
    stopper = src / '032'
    stopper.write_text('stop')
    os.utime(stopper, (0, 0))
    (src / '003').write_text('abc')
    dataset = make_dataset(src, partial(read, log=log))
    with pytest.raises(KeyboardInterrupt):
        convert(dataset, out, workers=0)
    assert not out.exists()
    assert log.read_text().split() == [f'{i:03d}' for i in range(33)]
    log.unlink()

    stopper.write_text('9')
    (src / '000').write_text('99')  # which was read before
    convert(dataset, out, workers=0, skip_malformed=True)
    assert log.read_text().split() == ['000', *(f'{i:03d}' for i in range(32, NUM_CLIPS))]
    result = open_annotations(out)
    clips = {clip['frame_dir']: clip for split in result.splits for clip in result.select(split)}
    assert sorted(clips) == [f'{i:03d}' for i in range(NUM_CLIPS) if i != 3]
    assert [clips[name]['total_frames'] for name in ('000', '001', '032')] == [99, 2, 9]
    assert [path.name for path in tmp_path.glob('out*')] == [out.name]


@pytest.mark.parametrize('name', ['clips', 'keypoint', 'info', 'crc', 'read'])
@pytest.mark.parametrize('damage', ['cut', 'zeros'])
@pytest.mark.fault('power cut during a conversion', '-', 'the same command continues after whole clips')
def test_continues_after_the_last_whole_clip(src: Path, tmp_path: Path, name: str, damage: str) -> None:
    """A file of which the end did not come to the disk, or came as zeros."""
    convert(make_dataset(src), tmp_path / 'expected.pkl', workers=0)
    out, log = tmp_path / 'out.pkl', tmp_path / 'log'
    dataset = make_dataset(src, partial(read, log=log))
    (src / '040').write_text('stop')
    with pytest.raises(KeyboardInterrupt):
        convert(dataset, out, workers=0)
    log.unlink()
    folder = tmp_path / 'out.pkl.unfinished'
    path = folder / 'read.jsonl' if name == 'read' else folder / 'clips' / f'{name}.bin'
    content = path.read_bytes()
    half = len(content) // 2 + 1
    path.write_bytes(content[:half] + b'\0' * (len(content) - half) * (damage == 'zeros'))
    (src / '040').write_text('41')
    convert(dataset, out, workers=0)
    np.testing.assert_equal(load(out), load(tmp_path / 'expected.pkl'))
    assert 10 < len(log.read_text().split()) < 40


def test_a_store_is_the_folder_of_the_conversion(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as one that is written clip by clip, whichever way it came to be."""
    convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)
    write_store(tmp_path / 'written.store', load(tmp_path / 'out.pkl'))
    convert(make_dataset(src), tmp_path / 'kept.store', workers=0)
    with monkeypatch.context() as patched:
        patched.setattr(Unfinished, 'write_store', full_disk)
        with pytest.raises(OSError, match='full'):
            convert(make_dataset(src), tmp_path / 'late.store', workers=0)
    convert(make_dataset(src), tmp_path / 'late.store', workers=0)
    contents = [
        {file.name: file.read_bytes() for file in path.iterdir()} for path in sorted(tmp_path.glob('*.store'))
    ]
    assert contents[0] == contents[1] == contents[2]
    (finding,) = open_annotations(tmp_path / 'kept.store').verify()
    assert finding.text == 'checksums compared'


def full_disk(*_: object) -> None:
    raise OSError(28, 'full')


def test_keeps_scores_and_the_size_of_the_picture(src: Path, tmp_path: Path) -> None:
    def read_scored(recording: Recording) -> Clip:
        keypoint, score = np.ones((1, 2, 1, 2), np.float32), np.full((1, 2, 1), 0.5)
        if recording.name == '001':
            return Clip(keypoint, 0)
        return Clip(keypoint, 0, keypoint_score=score, img_shape=(480, 640))

    for suffix in ('.pkl', '.store'):
        out = tmp_path / f'out{suffix}'
        convert(make_dataset(src, read_scored), out, workers=0)
        first, second = (open_annotations(out).select(split)[0] for split in ('val', 'train'))
        assert first['img_shape'] == [480, 640]
        np.testing.assert_array_equal(first['keypoint_score'], np.full((1, 2, 1), 0.5))
        assert not {'img_shape', 'keypoint_score'} & second.keys()


def test_refuses_two_clips_of_one_name(src: Path, tmp_path: Path) -> None:
    dataset = make_dataset(src)
    dataset = replace(dataset, recordings=[*dataset.recordings, dataset.recordings[4]])
    with pytest.raises(UserError, match="2 recordings are named '004'"):
        convert(dataset, tmp_path / 'out.pkl', workers=0)


@pytest.mark.fault(
    'a folder beside the result of a conversion is named like its own, such as out.store.old-v1', '-', 'kept'
)
def test_only_folders_of_killed_processes_are_removed(src: Path, tmp_path: Path) -> None:
    for name in ('old-99999', 'tmp-99999', 'old-v1', 'tmp-mine', 'shards'):
        (tmp_path / f'out.store.{name}').mkdir()
    convert(make_dataset(src), tmp_path / 'out.store', workers=0)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ['out.store', 'out.store.old-v1', 'out.store.shards', 'out.store.tmp-mine', 'src']


@pytest.mark.fault('a conversion killed within a clip, whose raw file is then removed', '-', 'a whole store')
def test_a_store_that_ends_with_a_cut_clip_is_whole(src: Path, tmp_path: Path) -> None:
    last = sorted(src.iterdir())[-1]
    last.write_text('abc')
    with pytest.raises(UserError):
        convert(make_dataset(src), tmp_path / 'out.store', workers=0)
    folder = tmp_path / 'out.store.unfinished'
    for path in folder.rglob('*.bin'):
        path.write_bytes(path.read_bytes() + bytes(100))
    last.unlink()
    convert(make_dataset(src), tmp_path / 'out.store', workers=0)
    assert len(Store(tmp_path / 'out.store')) == len(list(src.iterdir()))


def test_a_killed_worker_ends_the_run(src: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match='a worker process was killed'):
        convert(make_dataset(src, die), tmp_path / 'out.pkl', workers=2)
    convert(make_dataset(src), tmp_path / 'out.pkl', workers=2)


def test_does_not_reuse_parts_made_in_another_way(src: Path, tmp_path: Path) -> None:
    (src / '005').write_text('abc')
    with pytest.raises(UserError):
        convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)
    convert(
        make_dataset(src),
        tmp_path / 'out.pkl',
        workers=0,
        skip_malformed=True,
        normalize=twice,
    )
    result = load(tmp_path / 'out.pkl')
    assert result['meta']['normalized'] is True
    assert result['annotations'][0]['keypoint'].max() == 2


def test_both_results_load_the_same_and_safely(src: Path, tmp_path: Path) -> None:
    convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)
    convert(make_dataset(src), tmp_path / 'out.store', workers=0)
    pickled, stored = open_annotations(tmp_path / 'out.pkl'), open_annotations(tmp_path / 'out.store')
    assert pickled.meta == stored.meta
    assert sorted(pickled.splits) == sorted(stored.splits) == ['train', 'val']
    for split in pickled.splits:
        assert not pickled.split_faults(split, []) + stored.split_faults(split, [])
        for one, other in zip(pickled.select(split), stored.select(split), strict=True):
            assert one.keys() == other.keys()
            assert one['keypoint'].flags.writeable
            np.testing.assert_array_equal(one.pop('keypoint'), other.pop('keypoint'))
            assert one == other


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_text('old')
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.writelines([b'half of the', 'new one'])
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('name', ['read.jsonl', 'clips/clips.bin', 'clips/keypoint.bin', 'clips/crc.bin'])
@pytest.mark.fault('conversion killed while it clears up', '-', 'the same command works again')
def test_killed_while_the_parts_are_cleared(src: Path, tmp_path: Path, monkeypatch, name: str) -> None:
    out = tmp_path / 'out.pkl'

    def half_clear(folder: Path) -> None:
        (folder / name).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, 'rmtree', half_clear)
    with pytest.raises(KeyboardInterrupt):
        convert(make_dataset(src), out, workers=0)
    expected = load(out)
    monkeypatch.undo()
    convert(make_dataset(src), out, workers=0)
    np.testing.assert_equal(load(out), expected)
    assert not (tmp_path / 'out.pkl.unfinished').exists()


@pytest.mark.fault('a pipe in the place of a recording', '-', 'named, not waited for')
def test_a_pipe_in_a_clip_s_place_is_malformed(src: Path, tmp_path: Path) -> None:
    (src / '003').unlink()
    os.mkfifo(src / '003')
    with pytest.raises(UserError, match=r'003: .*is not a regular file'):
        convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)


@pytest.mark.fault('two conversions to one result', '-', 'the second says which process runs the first')
def test_a_second_conversion_to_one_result_is_refused(src: Path, tmp_path: Path) -> None:
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        held = FolderLock(tmp_path / 'out.pkl.unfinished' / 'lock')
        held.acquire()
        os.write(ready[1], b'x')
        signal.pause()
    os.read(ready[0], 1)
    with pytest.raises(UserError, match=f'out.pkl is running: .* by process {child} on'):
        convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    convert(make_dataset(src), tmp_path / 'out.pkl', workers=0)

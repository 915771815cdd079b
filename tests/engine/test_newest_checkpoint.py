"""Which of the checkpoints in a folder a run resumes from."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from mmdualhead.engine.checkpoints import RESUMABLE, newest_checkpoint


def test_empty_or_absent_folder(tmp_path):
    assert newest_checkpoint(tmp_path) == (None, [])
    assert newest_checkpoint(tmp_path / 'absent') == (None, [])


@pytest.mark.parametrize(
    'pointer', [b'', b'/nowhere/epoch_9.pth', b'epoch_1.pth', b'\xff\x00\x80', b'x' * 9999]
)
@pytest.mark.fault(
    '`last_checkpoint` is behind, empty, binary or names nothing',
    '-',
    'the newest whole checkpoint',
)
def test_the_newest_wins_whatever_last_checkpoint_says(save, tmp_path, pointer):
    newer = save('epoch_10.pth', meta={'epoch': 10, 'iter': 40, 'time': '20261025_020000'})
    save('epoch_9.pth', meta={'epoch': 9, 'iter': 36, 'time': '20261025_025900'})
    (tmp_path / 'last_checkpoint').write_bytes(pointer)
    assert newest_checkpoint(tmp_path) == (newer, [])


@pytest.mark.fault(
    'checkpoints of another time zone, or from before and after the clock change',
    'the one that `last_checkpoint` names',
    'the furthest in epochs and iterations',
)
def test_the_clock_does_not_matter(save, tmp_path):
    save('epoch_2.pth', meta={'epoch': 2, 'iter': 8, 'time': '20261025_235900'})
    furthest = save('epoch_3.pth', meta={'epoch': 3, 'iter': 12, 'time': '20261025_000000'})
    os.utime(furthest, (0, 0))
    assert newest_checkpoint(tmp_path) == (furthest, [])


@pytest.mark.parametrize(
    ('epoch', 'iteration', 'is_furthest'), [(2, 8, True), (2, 11, True), (1, 7, False), (1, 8, False)]
)
def test_an_interruption_lies_between_epochs(save, tmp_path, epoch, iteration, is_furthest):
    """(2, 8) was saved in the validation after epoch 2, (1, 8) after its last batch."""
    interrupted = save('interrupted.pth', meta={'epoch': epoch, 'iter': iteration})
    ended = save('epoch_2.pth', meta={'epoch': 2, 'iter': 8})
    save('epoch_1.pth', meta={'epoch': 1, 'iter': 4})
    assert newest_checkpoint(tmp_path) == (interrupted if is_furthest else ended, [])


@pytest.mark.fault(
    'a checkpoint of another training lies in the work_dir', '-', "the training's own is resumed"
)
def test_other_files_count_where_the_training_has_none(save, tmp_path):
    other = save('pretrained.pth', meta={'epoch': 80, 'iter': 9000})
    assert newest_checkpoint(tmp_path) == (other, [])
    interrupted = save('interrupted.pth', meta={'epoch': 0, 'iter': 3})
    assert newest_checkpoint(tmp_path) == (interrupted, [])
    own = save('epoch_1.pth', meta={'epoch': 1, 'iter': 4})
    assert newest_checkpoint(tmp_path) == (own, [])
    interrupted = save('interrupted.pth', meta={'epoch': 1, 'iter': 5})
    assert newest_checkpoint(tmp_path) == (interrupted, [])


@pytest.mark.fault(
    'a copied work_dir is resumed while the original goes on',
    "the original's checkpoint, which `last_checkpoint` names",
    "the copy's own",
)
@pytest.mark.parametrize('name', ['epoch_1.pth', 'interrupted.pth'])
def test_a_copied_folder_has_its_own(save, tmp_path, name):
    path = save(name)
    copy = tmp_path / 'copy'
    copy.mkdir()
    shutil.copy(path, copy)
    save('epoch_5.pth', meta={'epoch': 5, 'iter': 20})
    (copy / 'last_checkpoint').write_text(str(path))
    assert newest_checkpoint(copy) == (copy / name, [])


def test_an_out_dir_is_ahead_of_an_interruption(save, tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    save('interrupted.pth', meta={'epoch': 1, 'iter': 6}).rename(work_dir / 'interrupted.pth')
    saved = save('epoch_2.pth', meta={'epoch': 2, 'iter': 8})
    (work_dir / 'last_checkpoint').write_text(str(saved))
    assert newest_checkpoint(work_dir) == (saved, [])


@pytest.mark.fault(
    'a dangling link, a folder or a pipe called `x.pth` in the work_dir', '-', 'passed over with a note'
)
@pytest.mark.parametrize('neighbor', [Path.mkdir, os.mkfifo, lambda path: path.symlink_to('gone')])
@pytest.mark.parametrize('needed', [RESUMABLE, ()])
def test_odd_neighbors_are_passed_over(save, tmp_path, neighbor, needed):
    path = save()
    neighbor(tmp_path / 'x.pth')
    found, (reason,) = newest_checkpoint(tmp_path, needed)
    assert found == path
    assert str(tmp_path / 'x.pth') in reason


def test_pointer_to_another_folder(save, tmp_path):
    named = save()
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / 'last_checkpoint').write_text(str(named))
    assert newest_checkpoint(work_dir) == (named, [])


def test_damaged_files_are_passed_over_with_the_reason(save, tmp_path):
    whole, damaged = save('epoch_1.pth'), save('epoch_2.pth')
    damaged.write_bytes(damaged.read_bytes()[:100])
    (tmp_path / 'last_checkpoint').write_text(str(damaged))
    path, passed_over = newest_checkpoint(tmp_path)
    assert path == whole
    assert len(passed_over) == 1
    assert str(damaged) in passed_over[0]


def test_weights_alone_are_no_training_to_resume(tmp_path):
    torch.save({'state_dict': {}, 'meta': {}}, tmp_path / 'best.pth')
    assert newest_checkpoint(tmp_path) == (None, [])
    assert newest_checkpoint(tmp_path, needed=())[0] == tmp_path / 'best.pth'

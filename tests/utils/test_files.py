import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from mmdualhead.errors import UserError
from mmdualhead.utils.files import (
    FolderLock,
    atomic_write,
    check_writable,
    keep_inputs,
    remove_partial_files,
    write_text,
)
from mmdualhead.utils.reading import open_regular


def test_inputs_are_kept(tmp_path):
    (tmp_path / 'a').touch()
    (tmp_path / 'link').symlink_to('a')
    outputs, inputs = (
        [None, Path('-'), tmp_path / 'new', tmp_path],
        [str(tmp_path / 'a'), tmp_path, 0, 'http://x'],
    )
    keep_inputs(outputs, inputs)
    for same in ('a', 'link'):
        with pytest.raises(UserError, match='is an input, which would be overwritten'):
            keep_inputs([tmp_path / same], inputs)


class TestAtomicWrite:
    def test_makes_folders_and_replaces(self, tmp_path):
        path = tmp_path / 'a' / 'b.txt'
        write_text(path, 'old')
        write_text(path, 'nëw')
        assert path.read_text(encoding='utf-8') == 'nëw'
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize('fails', ['fsync', 'replace'])
    def test_full_disk_leaves_the_old_file_and_nothing_else(self, tmp_path, fails):
        path = tmp_path / 'x.txt'
        path.write_text('old')
        full = OSError(errno.ENOSPC, 'No space left on device')
        with (
            mock.patch(f'os.{fails}', side_effect=full),
            pytest.raises(OSError, match=f'{path} could not be written: No space left'),
        ):
            write_text(path, 'new')
        assert path.read_text() == 'old'
        assert list(tmp_path.iterdir()) == [path]

    def test_links_stay_links_and_devices_devices(self, tmp_path):
        (tmp_path / 'link').symlink_to('file')
        write_text(tmp_path / 'link', 'text')
        assert (tmp_path / 'link').is_symlink()
        assert (tmp_path / 'file').read_text() == 'text'
        write_text('/dev/null', 'text')
        assert Path('/dev/null').is_char_device()
        with pytest.raises(OSError, match='/dev/full could not be written: No space left'):
            write_text('/dev/full', 'text')

    def test_what_a_killed_process_left_is_removed(self, tmp_path):
        child = os.fork()
        if child == 0:
            with atomic_write(tmp_path / 'x.txt') as file:
                file.write(b'half')
                os._exit(9)
        os.waitpid(child, 0)
        (left,) = tmp_path.iterdir()
        assert remove_partial_files(tmp_path) == [left]
        assert not list(tmp_path.iterdir())


class TestCheckWritable:
    def test_nothing_is_left_and_nothing_is_changed(self, tmp_path):
        (tmp_path / 'old').write_text('text')
        check_writable(tmp_path / 'old')
        check_writable(tmp_path / 'folder' / 'new')
        check_writable('/dev/null')
        assert (tmp_path / 'old').read_text() == 'text'
        assert not list((tmp_path / 'folder').iterdir())

    @pytest.mark.parametrize('place', ['folder', 'file/x'])
    def test_what_can_t_be_written_is_named(self, tmp_path, place):
        (tmp_path / 'folder').mkdir()
        (tmp_path / 'file').touch()
        with pytest.raises(OSError, match=f'{place} could not be written'):
            check_writable(tmp_path / place)


def test_pipes_and_folders_are_not_files(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', tmp_path, Path('/dev/null')):
        with pytest.raises(ValueError, match=f'{path} is not a regular file'):
            open_regular(path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / 'absent')


def test_a_folder_is_one_process_s_until_it_ends(tmp_path):
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go[1])
        held = FolderLock(tmp_path / 'lock')
        held.acquire()
        os.write(ready[1], b'x')
        os.read(go[0], 1)  # or the end of the parent
        os._exit(9)
    os.read(ready[0], 1)
    lock = FolderLock(tmp_path / 'lock')
    with pytest.raises(BlockingIOError, match=f'{tmp_path} is in use by process {child} on '):
        lock.acquire()
    os.write(go[1], b'x')
    os.waitpid(child, 0)
    lock.acquire()
    lock.release()


def test_a_pipe_is_no_lock(tmp_path):
    os.mkfifo(tmp_path / 'lock')
    with pytest.raises(ValueError, match='lock is not a regular file'):
        FolderLock(tmp_path / 'lock').acquire()

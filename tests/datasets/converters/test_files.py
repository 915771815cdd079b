from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmdualhead.datasets.converters.files import find_files, list_files
from mmdualhead.errors import UserError

PATTERN = r'(a\d)\.txt'


def names(src: Path) -> tuple[list[str], list[str]]:
    found, notes = find_files(src, PATTERN, {})
    return [name for _, (name,) in found], notes


@pytest.mark.fault(
    'files with another extension or in upper case, broken links', '-', 'ignored, counted and named'
)
def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    (tmp_path / 'sub' / 'deep').mkdir(parents=True)
    for name in ('sub/deep/a2.txt', 'a1.txt', 'A3.TXT', 'a4.csv', 'readme', 'sub/b.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'a5.txt').symlink_to('nowhere')
    (tmp_path / 'a6.txt').symlink_to('a1.txt')
    (tmp_path / 'more').symlink_to('sub')
    assert names(tmp_path) == (
        ['a1', 'a2', 'a6'],
        [
            'ignored 1 file: upper and lower case exchanged (A3.TXT)',
            'ignored 3 files: other names (a4.csv, b.txt, readme)',
            'ignored 1 file: broken links (a5.txt)',
            'ignored 1 file: links to directories (more)',
        ],
    )


def test_files_of_unfinished_conversions_are_not_raw_files(tmp_path: Path) -> None:
    src = tmp_path / 'x.unfinished'  # only below the source does the name mean anything
    (src / 'out.pkl.unfinished').mkdir(parents=True)
    for name in ('a1.txt', 'out.pkl.unfinished/a2.txt'):
        (src / name).touch()
    assert [path.name for path in list_files(src)] == ['a1.txt']


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ('x', 'y'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a1.txt').touch()
    with pytest.raises(UserError, match=r'1 file names occur twice, the first: .*/x/a1.txt and .*/y/a1'):
        names(tmp_path)


@pytest.mark.fault('a file or an archive in the place of SRC', '-', 'one sentence; how to unpack an archive')
def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / 'a1.txt').touch()
    with zipfile.ZipFile(tmp_path / 'set.zip', 'w') as archive:
        archive.write(tmp_path / 'a1.txt')
    with tarfile.open(tmp_path / 'set.tar.xz', 'w:xz') as archive:
        archive.add(tmp_path / 'a1.txt')
    expected = {
        'a1.txt': 'a1.txt is not a directory; give the directory of the raw files',
        'set.zip': f'set.zip is a zip archive: unzip {tmp_path}/set.zip -d {tmp_path}/set, and give',
        'set.tar.xz': f'tar archive: mkdir {tmp_path}/set && tar -xf {tmp_path}/set.tar.xz -C ',
    }
    for name, complaint in expected.items():
        with pytest.raises(UserError, match=re.escape(complaint)):
            names(tmp_path / name)

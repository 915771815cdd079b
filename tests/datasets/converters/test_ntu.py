from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.datasets.converters import Recording
from mmdualhead.datasets.converters.ntu import read_recording, scan
from mmdualhead.errors import UserError

from .raw_files import BODY_A, BODY_B, ntu_frames, standing, write_ntu

LIST = """3 of the captured samples in the "NTU RGB+D" dataset have missing or incomplete skeleton data.
If you are working on skeleton-based analysis, please ignore these files.

S001C001P001R001A001
S001C002P003R002A013.skeleton
S017C003P040R002A060
"""


def write_names(src: Path, *names: str) -> None:
    for name in names:
        write_ntu(src / f'{name}.skeleton', ntu_frames({BODY_A: (0, standing(25, 3))}, 3))


def test_round_trip(tmp_path: Path, converted: Callable) -> None:
    one, two = standing(25, 20, seed=1), standing(25, 14, seed=2, at=1.0)
    write_ntu(tmp_path / 'S001C001P001R001A001.skeleton', ntu_frames({BODY_A: (3, one)}, 30))
    write_ntu(
        tmp_path / 'S001C002P003R001A060.skeleton', ntu_frames({BODY_A: (0, one), BODY_B: (6, two)}, 20)
    )
    write_ntu(tmp_path / 'S001C003P003R001A002.skeleton', [{}, {}])
    result = converted(scan(tmp_path))
    assert result.labels == {'S001C001P001R001A001': 0, 'S001C002P003R001A060': 59}
    single, pair = (clip['keypoint'] for clip in result.clips.values())
    np.testing.assert_array_equal(single, one[None])
    assert pair.shape == (2, 20, 25, 3)
    persons = sorted(pair, key=lambda person: person[0].any())
    np.testing.assert_array_equal(persons[0][6:], two)
    np.testing.assert_array_equal(persons[1], one)
    assert result.split == {
        'xsub_train': ['S001C001P001R001A001'],
        'xsub_val': ['S001C002P003R001A060'],
        'xview_train': ['S001C002P003R001A060'],
        'xview_val': ['S001C001P001R001A001'],
    }
    assert result.meta['left_out'] == {'S001C003P003R001A002': 'no person in any of 2 frames'}
    assert 'frames without a person dropped: 10 in 1 clips' in result.summary
    assert 'joined' not in result.summary


def test_leaves_out_what_60_does_not_have(tmp_path: Path) -> None:
    names = ('S017C001P040R001A060', 'S018C001P001R001A001', 'S001C001P041R001A001', 'S001C001P001R001A061')
    write_names(tmp_path, *names)
    assert [r.name for r in scan(tmp_path, 60).recordings] == [names[0]]
    assert set(scan(tmp_path, 60).left_out.values()) == {'not part of NTU RGB+D 60'}
    assert {r.name: r.label for r in scan(tmp_path, 120).recordings} == dict(
        zip(names, (59, 0, 0, 60), strict=True)
    )


@pytest.mark.parametrize(
    'name',
    [
        *('S000C001P001R001A001', 'S033C001P001R001A001', 'S001C000P001R001A001', 'S001C004P001R001A001'),
        *('S001C001P000R001A001', 'S001C001P107R001A001', 'S001C001P001R000A001', 'S001C001P001R003A001'),
        *('S001C001P001R001A000', 'S001C001P001R001A121'),
    ],
)
@pytest.mark.fault('NTU name with a number that does not exist (action 0, camera 4)', '-', 'refused')
def test_refuses_names_outside_the_data_set(tmp_path: Path, name: str) -> None:
    write_names(tmp_path, name)
    for dataset in (60, 120):
        with pytest.raises(UserError, match=r'the name says .* expected 1\.\.'):
            scan(tmp_path, dataset)


def test_missing_list(tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text(LIST)
    write_names(tmp_path, 'S001C001P001R001A001', 'S001C002P003R002A013', 'S001C001P001R001A002')
    dataset = scan(tmp_path, missing=tmp_path / 'list.txt')
    assert [r.name for r in dataset.recordings] == ['S001C001P001R001A002']
    listed = ('S001C001P001R001A001', 'S001C002P003R002A013')
    assert dataset.left_out == dict.fromkeys(listed, 'in the list of missing skeletons')
    (tmp_path / 'list.txt').write_text('no names')
    with pytest.raises(UserError, match=r'list\.txt: no clip names'):
        scan(tmp_path, missing=tmp_path / 'list.txt')


def test_splits_of_60_and_120(tmp_path: Path) -> None:
    write_names(
        tmp_path, *(f'S{s:03d}C{c:03d}P{p:03d}R001A001' for s in (1, 2) for c in (1, 2, 3) for p in (1, 3))
    )
    write_names(tmp_path, 'S032C001P103R001A120', 'S031C002P106R001A120')
    splits = {r.name: set(r.splits) for r in scan(tmp_path, 60).recordings}
    assert Counter(split for names in splits.values() for split in names) == {
        'xsub_train': 6,
        'xsub_val': 6,
        'xview_train': 8,
        'xview_val': 4,
    }
    assert splits['S001C001P001R001A001'] == {'xsub_train', 'xview_val'}
    splits = {r.name: set(r.splits) for r in scan(tmp_path, 120).recordings}
    assert splits['S001C001P001R001A001'] == {'xsub_train', 'xset_val'}
    assert splits['S032C001P103R001A120'] == {'xsub_train', 'xset_train'}
    assert splits['S031C002P106R001A120'] == {'xsub_val', 'xset_val'}


def test_subjects_that_train() -> None:
    from mmdualhead.datasets.converters.ntu import XSUB60, XSUB120

    assert (len(XSUB60), len(XSUB120)) == (20, 53)
    assert XSUB60 < XSUB120


@pytest.mark.fault(
    "a person's number changes all the time", '-', 'tracks are joined by place and time, and counted'
)
def test_renumbered_persons(tmp_path: Path, converted: Callable) -> None:
    """The whole way: one alone, and one of two, both renumbered every seven frames."""
    walk, other = standing(25, 60, seed=1), standing(25, 60, seed=2, at=1.5)
    pieces = {f'7205759403793{k:04d}': (7 * k, walk[7 * k : 7 * k + 7]) for k in range(9)}
    write_ntu(tmp_path / 'S001C001P001R001A001.skeleton', ntu_frames(pieces, 64))
    write_ntu(tmp_path / 'S001C001P001R001A060.skeleton', ntu_frames({**pieces, BODY_A: (0, other)}, 60))
    result = converted(scan(tmp_path))
    alone, pair = (clip['keypoint'] for clip in result.clips.values())
    np.testing.assert_array_equal(alone, walk[None])
    persons = sorted(pair, key=lambda person: person[0, 0, 0])
    np.testing.assert_array_equal(persons, np.stack([walk, other]))
    assert 'frames without a person dropped: 4 in 1 clips' in result.summary
    assert 'tracks of one person whose number changed joined: 16 in 2 clips' in result.summary


def test_dropped_bodies_are_not_missing_persons(tmp_path: Path) -> None:
    """A chair is there before the person comes."""
    person, chair = standing(25, 20, seed=1), standing(25, 30, seed=2, at=2)[..., [1, 0, 2]]
    path = tmp_path / 'S001C001P001R001A001.skeleton'
    write_ntu(path, ntu_frames({BODY_A: (10, person), BODY_B: (0, chair)}, 33))
    clip = read_recording(Recording(path.stem, path, 0))
    np.testing.assert_array_equal(clip.keypoint, person[None])
    assert list(clip.counts.values()) == [3, 10, 0]

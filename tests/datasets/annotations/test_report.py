import runpy
import sys
from pathlib import Path

import pytest

from mmdualhead.datasets import write_store
from mmdualhead.datasets.annotations.report import check_file
from tests.datasets.clips import PIPELINE, make_annotations, make_data, save

ROOT = Path(__file__).parents[3]
META = dict(dataset='own', layout='nturgb+d', classes=['sit', 'walk', 'run', 'jump'])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    dataset = dict(type='SkeletonDataset', ann_file='x', pipeline=PIPELINE, num_classes=3)
    train = dict(type='RepeatDataset', times=5, dataset=dict(split='train', **dataset))
    val = dict(split='val', test_mode=True, **dataset)
    path.write_text(f'train_dataloader = dict(dataset={train!r})\nval_dataloader = dict(dataset={val!r})\n')
    return path


def test_describes_either_kind_of_file(tmp_path):
    data = make_data(meta=META)
    write_store(tmp_path / 'data.store', data)
    of_pickle, sound = check_file(save(tmp_path, data))
    of_store, store_sound = check_file(tmp_path / 'data.store')
    assert sound
    assert store_sound
    assert of_pickle.split('\n\n')[1:] == of_store.split('\n\n')[1:]
    for line in (
        'train: 6 clips',
        'frames: 20 to 50, median 35',
        'classes: 2 of 4, 3 clips each',
        'fewest clips: 0 (sit), 2 (run)',
        'joints: 25 in 6 clips',
        'layout: nturgb+d',
        'No errors.',
    ):
        assert line in of_pickle


def test_shows_faults_of_every_split(tmp_path):
    annotations = make_annotations()
    annotations[0]['label'] = annotations[1]['label'] = 9
    page, sound = check_file(save(tmp_path, make_data(annotations, meta=META)))
    assert not sound
    assert page.count('error: label: expected 0..3 (num_classes=4); 1 clip differs:') == 2


def test_compares_the_checksums_of_a_store(tmp_path):
    path = tmp_path / 'data.store'
    write_store(path, make_data())
    page, sound = check_file(path)
    assert sound
    assert 'note: checksums compared' in page
    content = (path / 'keypoint.bin').read_bytes()
    (path / 'keypoint.bin').write_bytes(b'?' + content[1:])
    page, sound = check_file(path)
    assert not sound
    assert "error: clip 'S000' has changed" in page


def test_a_config_says_what_is_expected(tmp_path, config):
    page, sound = check_file(save(tmp_path, make_data()), config)
    assert not sound
    assert 'expected 0..2 (num_classes=3); 3 clips differ' in page.partition('val: ')[2]
    assert 'error' not in page.partition('val: ')[0]


def test_the_tool_prints_the_page_and_exits_1_on_faults(tmp_path, config, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['check.py', save(tmp_path, make_data()), '--config', str(config)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / 'data' / 'check.py'), run_name='__main__')
    assert int(end.value.code) == 1
    assert 'error: label' in capsys.readouterr().out


def test_the_tool_takes_the_name_of_a_config(tmp_path, monkeypatch):
    path = save(tmp_path, make_data())

    monkeypatch.setattr(sys, 'argv', ['check.py', str(path), '--config', 'dualhead_utd_mhad_j'])
    with pytest.raises(SystemExit, match="no split 'xsub_train'"):
        runpy.run_path(str(ROOT / 'tools' / 'data' / 'check.py'), run_name='__main__')

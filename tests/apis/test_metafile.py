"""The list of configs is the one that its command would make."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmdualhead.apis.metafile import (
    HEADER,
    PACKAGED,
    count,
    describe,
    read_accuracies,
    to_page,
    write_metafile,
)
from mmdualhead.apis.packing import release
from mmdualhead.apis.trained import PACKAGED as WEIGHTS
from mmdualhead.apis.trained import load_trained
from mmdualhead.program import config_files

ROOT = Path(__file__).parents[2]
METAFILE = ROOT / 'configs' / 'metafile.yml'
ACCURACIES = read_accuracies((ROOT / 'docs' / 'results.md').read_text())


@pytest.fixture(scope='module')
def entries() -> dict[str, dict]:
    models = yaml.safe_load(METAFILE.read_text())['Models']
    assert len({entry['Name'] for entry in models}) == len(models)
    return {entry['Name']: entry for entry in models}


def test_all_configs_are_listed_and_nothing_else(entries):
    assert METAFILE.read_text().startswith(HEADER)
    found = {path.stem: path.relative_to(ROOT).as_posix() for path in config_files(ROOT / 'configs')}
    assert found == {name: entry['Config'] for name, entry in entries.items()}, 'run tools/metafile.py'


@pytest.mark.parametrize('name', ['quickstart_b', 'stgcn_ntu60_xsub_2d_j', 'msg3d_utd_mhad_bm'])
def test_an_entry_says_what_its_config_does(entries, name):
    path = ROOT / entries[name]['Config']
    config = Config.fromfile(path)
    counted = count(path, config)
    assert entries[name] == describe(name, entries[name]['Config'], config, counted, ACCURACIES.get(name))


def test_measured_results_are_those_of_the_documentation(entries):
    found = {
        name: entry['Results'][0]['Metrics']['Top 1 Accuracy']
        for name, entry in entries.items()
        if 'Results' in entry
    }
    assert found == ACCURACIES
    assert found['dualhead_utd_mhad_jm'] == 95.58
    assert found['stgcnpp_utd_mhad_bm'] == 86.28


def test_results_are_read_from_any_data_set_s_table():
    text = """
## NW-UCLA, view 3

| DualHead-Net | top-1 |
| --- | ---: |
| joint | 12.34 |

| network | parameters M | joint | joint motion |
| --- | ---: | ---: | ---: |
| **DualHead-Net** | 0.94 | **94.61 ± 0.20** | - |
| ST-GCN, MMAction2's | 0.78 | 93.00 | 92.00 |
| InfoGCN, published | 1.50 | 97.00 | 96.00 |

## Other data

| network | joint |
| --- | ---: |
| DualHead-Net | 1.00 |
"""
    assert read_accuracies(text) == {
        'dualhead_nw_ucla_j': 94.61,
        'stgcn_nw_ucla_j': 93.0,
        'stgcn_nw_ucla_jm': 92.0,
    }
    with pytest.raises(ValueError, match='no table'):
        read_accuracies('nothing was measured')


def test_the_page_says_what_the_list_says(entries):
    assert (ROOT / 'docs' / 'model_zoo.md').read_text() == to_page(list(entries.values()))


def test_the_packaged_model_is_the_one_with_this_result():
    assert 100 * load_trained(WEIGHTS).meta['accuracy'] == pytest.approx(ACCURACIES[PACKAGED])


def test_files_of_a_release_are_entered_and_stay(tmp_path, checkpoint):
    """And their names hold the digits of what is in them."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / '_base_').symlink_to(ROOT / 'configs' / '_base_')
    config = (ROOT / 'configs' / 'dualhead_utd_mhad_j.py').read_text()
    (tmp_path / 'configs' / 'dualhead_utd_mhad_j.py').write_text(config)
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'results.md').write_text((ROOT / 'docs' / 'results.md').read_text())
    run = tmp_path / 'work_dirs' / 'dualhead_utd_mhad_j'
    (run / '2026').mkdir(parents=True)
    (run / '2026' / '2026.log').write_text('loss: 1')
    (run / 'epoch_1.pth').symlink_to(checkpoint)
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    for accuracy in (0.1, 0.2):  # the second replaces the first
        file = release(run, tmp_path / 'release', accuracy)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()
    stem = f'dualhead_utd_mhad_j-{digits[:8]}'
    assert {path.name for path in file.parent.iterdir()} == {f'{stem}.pth', f'{stem}.log', 'SHA256SUMS'}
    subprocess.run(['sha256sum', '--check', '--quiet', 'SHA256SUMS'], cwd=file.parent, check=True)
    assert load_trained(file).meta['accuracy'] == 0.2

    for options in ({'release': file.parent, 'url': 'https://example.org/v1/'}, {}):
        assert write_metafile(tmp_path, **options) == 1
        (entry,) = yaml.safe_load((tmp_path / 'configs' / 'metafile.yml').read_text())['Models']
        assert entry['Weights'] == f'https://example.org/v1/{stem}.pth'
        assert entry['Training Log'] == f'https://example.org/v1/{stem}.log'
        assert entry['Metadata']['Parameters'] == '0.95M'
    page = (tmp_path / 'docs' / 'model_zoo.md').read_text()
    assert f'| `dualhead_utd_mhad_j` | 0.95M | 0.34 | {ACCURACIES[PACKAGED]:.2f} | [{stem}.pth](https' in page


def test_a_file_that_is_no_config_s_is_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='no part of the path is the name of a config; give --name'):
        release(checkpoint, tmp_path)

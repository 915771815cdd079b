"""The list of configs is the one that its command would make."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmdualhead.apis.metafile import HEADER, config_files, count, describe, frames_of, read_accuracies

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
    counted = count(path, config, frames_of(config))
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
    assert len(found) == 16


def test_no_table_of_results():
    with pytest.raises(ValueError, match='no table'):
        read_accuracies('nothing was measured')

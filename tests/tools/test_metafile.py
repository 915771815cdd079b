"""The list of configs, and the pages with results, are those that their command would make."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from metafile import render
from mmdualhead.apis.trained import PACKAGED as WEIGHTS
from mmdualhead.apis.trained import load_trained
from model_zoo.entries import count, describe
from model_zoo.pages import PACKAGED
from model_zoo.results import figure, fill_tables, make_tables, zoo_accuracies
from pack import release

ROOT = Path(__file__).parents[2]
METAFILE = ROOT / 'configs' / 'metafile.yml'
RESULTS = yaml.safe_load((ROOT / 'configs' / 'results.yml').read_text())
ACCURACIES = zoo_accuracies(RESULTS)


@pytest.fixture(scope='module')
def entries() -> dict[str, dict]:
    models = yaml.safe_load(METAFILE.read_text())['Models']
    assert len({entry['Name'] for entry in models}) == len(models)
    return {entry['Name']: entry for entry in models}


@pytest.fixture(scope='module')
def written() -> tuple[int, dict[Path, str]]:
    """What tools/metafile.py would write."""
    return render(ROOT)


@pytest.mark.parametrize('name', ['quickstart_b', 'stgcn_ntu60_xsub_2d_j', 'msg3d_utd_mhad_bm'])
def test_an_entry_says_what_its_config_does(entries, name):
    path = ROOT / entries[name]['Config']
    config = Config.fromfile(path)
    counted = count(path, config)
    assert entries[name] == describe(name, entries[name]['Config'], config, counted, ACCURACIES.get(name))


def test_measured_results_are_listed(entries):
    found = {
        name: entry['Results'][0]['Metrics']['Top 1 Accuracy']
        for name, entry in entries.items()
        if 'Results' in entry
    }
    assert found == ACCURACIES
    assert found['dualhead_utd_mhad_jm'] == 95.58
    assert found['stgcnpp_utd_mhad_bm'] == 86.28


def test_everything_that_is_written_is_up_to_date(written):
    """A figure that was changed in one place alone, or a config that is not listed."""
    number, texts = written
    assert number > 100
    names = {path.relative_to(ROOT).as_posix() for path in texts}
    pages = {f'docs/{name}.md' for name in ('model_zoo', 'results', 'laboratory')}
    assert names == {'configs/metafile.yml', 'README.md', *pages}
    for path, text in texts.items():
        assert path.read_text() == text, 'run tools/metafile.py'


def test_every_table_is_shown_somewhere():
    names = ('README.md', 'docs/results.md', 'docs/laboratory.md')
    pages = [(ROOT / name).read_text() for name in names]
    shown = [name for page in pages for name in re.findall('<!-- results: (.+) -->', page)]
    assert sorted(shown) == sorted(make_tables(RESULTS))
    made = {line for text in make_tables(RESULTS).values() for line in text.splitlines()}
    assert {line for page in pages[1:] for line in page.splitlines() if line.startswith('|')} <= made


def test_the_networks_that_were_measured_are_those_that_are_counted(entries):
    for data, networks in RESULTS['runs'].items():
        for network, found in networks.items():
            assert entries[f'{network}_{data}_j']['Metadata']['Parameters'] == f'{found["parameters"]}M'


def test_tables_hold_figures_and_what_follows_from_them():
    tables = {name: text.splitlines() for name, text in make_tables(RESULTS).items()}
    assert tables['utd_mhad streams'][3] == '| bone | 94.65 | 99.07 | 93.49 | 94.42 | 96.05 |'
    assert tables['utd_mhad seeds'][-1].startswith('| mean ± deviation | 94.03 ± 0.94 | 94.96 ± 0.54 |')
    assert tables['nw_ucla seeds'][-1].startswith('| mean ± deviation | 91.2 ± 0.8 | 90.9 ± 0.7 |')
    assert tables['nw_ucla networks'][5].startswith('| ST-GCN (MMAction2) | 0.78 | 85.56 (88.08) |')
    assert figure(None) == '-'
    assert tables['utd_mhad runs'][2].split(' | ')[-2:] == ['93.5', '28 |']
    assert not any('**' in line for line in tables['utd_mhad networks, short'])


def test_a_page_keeps_all_but_its_tables():
    page = 'before\n\n<!-- results: a -->\n\n| old |\n\n<!-- end of results -->\n\n| mine |\n'
    assert fill_tables(page, {'a': '| new |'}) == page.replace('old', 'new')
    with pytest.raises(KeyError, match='a'):
        fill_tables(page, {})


def test_the_packaged_model_is_the_one_with_this_result():
    assert 100 * load_trained(WEIGHTS).meta['accuracy'] == pytest.approx(ACCURACIES[PACKAGED])


def test_files_of_a_release_are_entered_and_stay(tmp_path, checkpoint):
    """And their names hold the digits of what is in them."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / '_base_').symlink_to(ROOT / 'configs' / '_base_')
    config = (ROOT / 'configs' / 'dualhead_utd_mhad_j.py').read_text()
    (tmp_path / 'configs' / 'dualhead_utd_mhad_j.py').write_text(config)
    shutil.copy(ROOT / 'configs' / 'results.yml', tmp_path / 'configs')
    (tmp_path / 'docs').mkdir()
    run = tmp_path / 'work_dirs' / 'dualhead_utd_mhad_j'
    for year, loss in (('2026', 'loss: 1\n'), ('2027', 'loss: 0\n')):  # interrupted, and resumed
        (run / year).mkdir(parents=True)
        (run / year / f'{year}.log').write_text(loss)
    (run / 'epoch_1.pth').symlink_to(checkpoint)
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    for accuracy in (0.1, 0.2):  # the second replaces the first
        file = release(run, tmp_path / 'release', accuracy)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()
    stem = f'dualhead_utd_mhad_j-{digits[:8]}'
    assert {path.name for path in file.parent.iterdir()} == {f'{stem}.pth', f'{stem}.log', 'SHA256SUMS'}
    subprocess.run(['sha256sum', '--check', '--quiet', 'SHA256SUMS'], cwd=file.parent, check=True)
    assert (file.parent / f'{stem}.log').read_text() == 'loss: 1\nloss: 0\n'
    assert load_trained(file).meta['accuracy'] == 0.2

    for options in ({'release': file.parent, 'url': 'https://example.org/v1/'}, {}):
        number, texts = render(tmp_path, **options)
        assert number == len(texts) - 1 == 1
        for path, text in texts.items():
            path.write_text(text)
        (entry,) = yaml.safe_load((tmp_path / 'configs' / 'metafile.yml').read_text())['Models']
        assert entry['Weights'] == f'https://example.org/v1/{stem}.pth'
        assert entry['Training Log'] == f'https://example.org/v1/{stem}.log'
        assert entry['Metadata']['Parameters'] == '0.95M'
    page = (tmp_path / 'docs' / 'model_zoo.md').read_text()
    assert f'| `dualhead_utd_mhad_j` | 0.95M | 0.34 | {ACCURACIES[PACKAGED]:.2f} | [{stem}.pth](https' in page


def test_a_file_that_is_no_config_s_is_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='no part of the path is the name of a config; give --name'):
        release(checkpoint, tmp_path)

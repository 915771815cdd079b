"""The parts of docs/extend.md: each trains, tests, dumps, fuses and is measured, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.runner import CheckpointLoader

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle
from mmdualhead.evaluation.fusion import fuse, join
from mmdualhead.evaluation.readers import read_scores
from mmdualhead.network_input import NetworkInput

ROOT = Path(__file__).parents[1]
RUN = """
import json, sys
from mmengine.config import Config
from mmengine.runner import Runner

for name in sys.argv[1:]:
    config = Config.fromfile(f'{name}.py')
    config.work_dir = f'work_dirs/{name}'
    config.train_cfg.update(max_epochs=1, val_begin=2)
    config.train_dataloader.dataset.indices = 8
    for phase in ('train', 'test'):
        config[f'{phase}_dataloader'].update(num_workers=0, persistent_workers=False)
    runner = Runner.from_cfg(config)
    runner.train()
    metrics = runner.test()
    print('MEASURED', name, json.dumps(sorted(metrics)))
"""
HEADS = {'quickstart_middle_j': {'coarse', 'fine', 'middle'}}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the page is written and its configs run."""
    return tmp_path_factory.mktemp('extend')


@pytest.fixture(scope='module')
def results(folder):
    """The heads and the scores of the quickstart and of every config of the page, after one epoch."""
    write_page(folder)
    (folder / 'configs').symlink_to(ROOT / 'configs')
    data = synthetic.generate(subjects=2, repetitions=1)
    write_pickle(folder / 'data' / 'skeleton' / 'synthetic.pkl', data)
    (folder / 'quickstart_j.py').write_text("_base_ = 'configs/quickstart_j.py'\n")
    names = sorted(path.stem for path in folder.glob('quickstart_*.py'))
    (folder / 'run.py').write_text(RUN)
    run = subprocess.run(
        [sys.executable, 'run.py', *names],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': f'{folder}:{ROOT}'},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    metrics = dict(re.findall(r'^MEASURED (\S+) (.*)$', run.stdout, flags=re.MULTILINE))
    return {name: (metrics[name], read_scores(folder / 'work_dirs' / name)) for name in names}


def write_page(folder: Path) -> None:
    """The files of the page; what belongs to one file is written one below the other."""
    page = (ROOT / 'docs' / 'extend.md').read_text(encoding='utf-8')
    for name, code in re.findall(r'```python\n# (\w+\.py)\n(.*?)```', page, flags=re.DOTALL):
        with (folder / name).open('a') as file:
            file.write(f'{code}\n\n')


@pytest.mark.parametrize(
    'part',
    ['middle_j', 'channels_j', 'transformer_j', 'ctrgc_j', 'learned_j', 'ja', 'centered_j', 'mutual_j'],
)
def test_a_part_of_the_page_trains_tests_dumps_fuses_and_is_measured(results, part):
    metrics, scores = results[f'quickstart_{part}']
    heads = HEADS.get(f'quickstart_{part}', {'coarse', 'fine'})
    assert set(scores.heads) == {'fused', *heads}
    assert all(f'acc/{head}_top1' in metrics for head in (*heads, 'oracle'))
    _, base = results['quickstart_j']
    fused = fuse(join([base, scores]), (1, 1))
    assert {'fused', 'coarse', 'fine'} <= set(fused.heads)
    assert abs(scores.fused - base.fused).max() > 1e-4


def test_a_step_of_the_page_declares_its_share_in_the_checkpoint(folder, results):
    assert results
    checkpoint = CheckpointLoader.load_checkpoint(str(folder / 'work_dirs/quickstart_centered_j/epoch_1.pth'))
    found = NetworkInput.of_checkpoint(checkpoint['meta'])
    assert found.normalization == '3d, joint 1 in the origin'
    assert found.other_steps == ()

"""The quickstart: its configs on its data, and, on demand, the whole command."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle

ROOT = Path(__file__).parents[1]
STREAMS = ('j', 'b', 'jm', 'bm')
BASELINES = ('msg3d', 'ctrgcn', 'stgcn')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small part of the data where the configs look for it."""
    folder = tmp_path_factory.mktemp('quickstart')
    data = synthetic.generate(subjects=2, repetitions=1)
    write_pickle(folder / 'data' / 'skeleton' / 'synthetic.pkl', data)
    return folder


@pytest.mark.parametrize('stream', STREAMS)
def test_configs_train_every_part_of_the_network_on_their_stream(stream, folder, monkeypatch):
    monkeypatch.chdir(folder)
    config = Config.fromfile(ROOT / 'configs' / f'quickstart_{stream}.py')
    init_default_scope(config.default_scope)
    assert config.model.cls_head.num_classes == len(synthetic.CLASSES)
    data = DATASETS.build(config.train_dataloader.dataset)
    model = MODELS.build(config.model)

    batch = model.data_preprocessor(pseudo_collate([data[0], data[1]]), training=True)
    losses = model(**batch, mode='loss')
    (losses['coarse_loss'] + losses['fine_loss']).backward()

    assert {name.split('.')[0] for name, _ in model.named_parameters()} >= {
        'backbone',
        'heads',
        'attentions',
        'cls_head',
    }
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize('network', BASELINES)
def test_baselines_differ_in_the_model_alone_and_have_its_size(network):
    ours, theirs = (
        Config.fromfile(ROOT / 'configs' / f'{name}quickstart_j.py') for name in ('', f'{network}_')
    )
    init_default_scope(ours.default_scope)
    sizes = [sum(p.numel() for p in MODELS.build(config.model).parameters()) for config in (ours, theirs)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.12)
    assert {**ours.to_dict(), 'model': None} == {**theirs.to_dict(), 'model': None}


def test_without_its_data_a_config_names_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / 'configs' / 'quickstart_j.py')
    init_default_scope(config.default_scope)
    with pytest.raises(FileNotFoundError, match=r'mmdualhead data synthetic data/skeleton/synthetic\.pkl'):
        DATASETS.build(config.train_dataloader.dataset)


@pytest.mark.heavy
def test_the_command_ends_well_twice_and_fusion_beats_every_stream(tmp_path):
    clone = tmp_path / 'mmdualhead'
    subprocess.run(['git', 'clone', '-q', ROOT, clone], check=True)
    for options in ([], ['--baselines']):
        command = ['bash', clone / 'tools' / 'quickstart.sh', *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip().endswith('were trained, tested and fused.')
        tested = dict(re.findall(r'\[(\w+)\] test: accuracy ([0-9.]+)', done.stdout))
        baselines = {f'{network}_quickstart' for network in BASELINES if options}
        assert set(tested) == {*STREAMS, *(f'{name}_{stream}' for name in baselines for stream in STREAMS)}
        fused = float(re.search(r'1 : 1 : 1 : 1 +([0-9.]+)', done.stdout)[1]) / 100
        assert fused > max(float(tested[stream]) for stream in STREAMS) > 0.6
        index = (clone / 'work_dirs' / 'quickstart' / 'pages' / 'index.html').read_text()
        clips = json.loads(re.search(r'application/json">(.*?)</script>', index, re.S)[1])['clips']
        shown = sum(clip['label'] == clip['true'] for clip in clips) / len(clips)
        assert shown > max(float(tested[stream]) for stream in STREAMS)  # of the fused streams
    shutil.rmtree(clone)

"""MMAction2's own programs on a config that names mmdualhead nowhere but in ``custom_imports``."""

import itertools
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch

from mmdualhead import cli
from tests.conftest import file_size_limit

ROOT = Path(__file__).parents[1]
EXPERIMENTS = itertools.count()
TOOLS = Path(mmaction.__path__[0], '.mim', 'tools')

CONFIG = """
custom_imports = dict(imports=['mmdualhead'], allow_failed_imports=False)
default_scope = 'mmaction'
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='STGCN', graph_cfg=dict(layout='coco', mode='spatial'), base_channels=4, num_stages=1,
        inflate_stages=[], down_stages=[]),
    cls_head=dict(type='GCNHead', num_classes=2, in_channels=4))
pipeline = [
    dict(type='GenSkeFeat', dataset='coco', feats=['j']),
    dict(type='UniformSampleFrames', clip_len=8),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs', meta_keys=('frame_dir',))]
dataset = dict(type='PoseDataset', ann_file='clips.pkl', pipeline=pipeline, split='train')
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True), dataset=dataset)
val_dataloader = test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
val_evaluator = test_evaluator = dict(type='AccMetric')
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
visualizer = dict(type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=1, save_best='auto'),
    load_check=dict(type='LoadCheckHook'),
    config_check=dict(type='ConfigCheckHook'),
    finite_check=dict(type='FiniteCheckHook'),
    resume=dict(type='ResumeHook'),
    interrupt=dict(type='InterruptHook'))
"""

PROGRAM = """
import runpy, sys

def run(name, *arguments):
    print('RUN', name, *arguments, flush=True)
    sys.argv = [name, 'config.py', *arguments]
    runpy.run_path(f'{tools}/{name}.py', run_name='__main__')

tools = sys.argv[1]
run('train', '--work-dir', 'run', '--cfg-options', 'experiment_name=train')
run('train', '--work-dir', 'run', '--resume', '--cfg-options', 'experiment_name=more',
    'train_cfg.max_epochs=2')
run('train', '--work-dir', 'tuned', '--cfg-options', 'experiment_name=tune', 'load_from=run/epoch_2.pth')
run('test', 'run/epoch_2.pth', '--work-dir', 'tested', '--cfg-options', 'experiment_name=test')

from mmaction.apis import init_recognizer
print('RECOGNIZER', type(init_recognizer('config.py', 'run/epoch_2.pth', device='cpu')).__name__)
"""


def write_clips(folder):
    """A data set of eight clips, and a config for it."""
    rng = np.random.default_rng(0)
    annotations = [
        {
            'frame_dir': f'clip{i}',
            'label': i % 2,
            'total_frames': 10,
            'img_shape': (100, 100),
            'keypoint': rng.random((1, 10, 17, 2)),
            'keypoint_score': np.ones((1, 10, 17)),
        }
        for i in range(8)
    ]
    split = {'train': [annotation['frame_dir'] for annotation in annotations]}
    (folder / 'clips.pkl').write_bytes(pickle.dumps({'split': split, 'annotations': annotations}))
    (folder / 'config.py').write_text(CONFIG)
    return folder


@pytest.fixture
def clips(tmp_path):
    return write_clips(tmp_path)


def test_train_resume_load_from_test_and_init_recognizer(clips):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', PROGRAM, str(TOOLS)],
        cwd=clips,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'resumed epoch: 1, iter: 2' in done.stdout
    assert 'Load checkpoint from run/epoch_2.pth' in done.stdout
    assert 'RECOGNIZER RecognizerGCN' in done.stdout
    assert sorted(path.name for path in (clips / 'run').glob('epoch_*.pth')) == ['epoch_2.pth']
    (result,) = (clips / 'tested').glob('*/*.json')
    assert 0 <= json.loads(result.read_text())['acc/top1'] <= 1


class TestCommand:
    """Faults through ``mmdualhead train`` and ``test``, in this process: starting one takes seconds."""

    @pytest.fixture(scope='class')
    def trained(self, tmp_path_factory):
        """The work directory of a run of one epoch."""
        folder = write_clips(tmp_path_factory.mktemp('trained'))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('mmengine.runner.runner.collect_env', dict)
            start(patch, folder, 'train', 'config.py', '--work-dir', 'run')
        return folder

    @pytest.mark.parametrize(
        ('options', 'complaints'),
        [
            (['default_hooks.chekpoint.interval=2'], ['interval']),
            (['default_hooks.checkpoint.intervall=2'], ["unexpected keyword argument 'intervall'"]),
            (['train_dataloader.dataset.pipeline.0.feat=j'], ["unexpected keyword argument 'feat'"]),
            (['val_dataloader.batchsize=2'], ["unexpected keyword argument 'batchsize'"]),
            (
                [f'{phase}_dataloader.dataset.pipeline.0.feats=[j,bm]' for phase in ('train', 'val', 'test')],
                ['in_channels=3 in the model, but the pipeline gives 6 channels'],
            ),
        ],
    )
    @pytest.mark.fault(
        "a hook's or an argument's name misspelt; `j+bm` without `in_channels`",
        'after an epoch, in the first batch, or with a traceback',
        'one line before training',
    )
    def test_configs_that_can_t_be_meant(self, clips, monkeypatch, options, complaints):
        with pytest.raises(SystemExit) as end:
            start(monkeypatch, clips, 'train', 'config.py', options=options)
        assert str(end.value).startswith('error: ')
        assert all(complaint in str(end.value) for complaint in complaints)
        assert not list(clips.rglob('*.pth'))

    @pytest.mark.parametrize(
        ('change', 'complaint'),
        [
            ({'state_dict': [1]}, 'its state_dict is a list'),
            ({'state_dict': None}, 'its state_dict is a NoneType'),
            ({'state_dict': {3: torch.ones(1)}}, 'it has the key 3'),
            ({'state_dict': {'w': torch.ones(1)}}, 'does not fit the model.*: 0 of'),
            ({'meta': 'x'}, 'its meta is a str'),
            (None, ''),
            (torch.nan, 'are not finite, backbone.'),
        ],
    )
    @pytest.mark.fault(
        'test of a foreign, an absent or a NaN checkpoint',
        'a traceback, or chance accuracy',
        'one line with the path',
    )
    def test_checkpoints_that_are_none(self, trained, monkeypatch, change, complaint):
        content = torch.load(trained / 'run' / 'epoch_1.pth')
        if isinstance(change, dict):
            content |= change
        else:
            content['state_dict']['backbone.data_bn.weight'][0] = torch.nan
        (trained / 'x.pth').unlink(missing_ok=True)
        if change is not None:
            torch.save(content, trained / 'x.pth')
        with pytest.raises(SystemExit, match=rf'error: .*x\.pth.*{complaint}'):
            start(monkeypatch, trained, 'test', 'config.py', 'x.pth', '--work-dir', 'tested')

    @pytest.mark.fault('disk full while a run writes its log', 'a traceback', 'one line')
    def test_a_full_disk(self, clips, monkeypatch):
        with file_size_limit(3_000), pytest.raises(SystemExit, match=r'error: .*File too large'):
            start(monkeypatch, clips, 'train', 'config.py')

    @pytest.mark.fault('`--resume FILE` without an optimizer', 'KeyError', 'error: load_from')
    def test_weights_alone_can_t_be_resumed(self, trained, monkeypatch):
        content = torch.load(trained / 'run' / 'epoch_1.pth')
        torch.save({key: content[key] for key in ('meta', 'state_dict')}, trained / 'weights.pth')
        with pytest.raises(SystemExit, match=r'weights\.pth cannot be resumed: it lacks .*optimizer'):
            start(monkeypatch, trained, 'train', 'config.py', '--work-dir', 'new', '--resume', 'weights.pth')

    @pytest.mark.fault(
        '`--seed` where the config sets `randomness`', 'the config wins', 'error with the option to give'
    )
    def test_seeds(self, clips, monkeypatch):
        with pytest.raises(
            SystemExit, match=r'error: --seed: has no effect.*--cfg-options randomness.seed=1'
        ):
            start(monkeypatch, clips, 'train', 'config.py', '--seed', '1', options=['randomness.seed=0'])

    @pytest.mark.fault(
        'resumed with more epochs', 'the learning rate stays at its last value', 'the same, said loudly'
    )
    def test_more_epochs(self, trained, monkeypatch, capfd):
        schedule = ['param_scheduler.type=CosineAnnealingLR', 'param_scheduler.T_max=1']
        shutil.copytree(trained / 'run', trained / 'more')
        arguments = ('train', 'config.py', '--work-dir', 'more', '--resume')
        start(monkeypatch, trained, *arguments, options=[*schedule, 'train_cfg.max_epochs=2'])
        assert 'IS FROM A RUN WITH max_epochs=1, this one has 2' in ''.join(capfd.readouterr())

    @pytest.mark.parametrize(
        ('option', 'meant'),
        [('max_epochs=5', 'train_cfg.max_epochs'), ('lr_config.policy=step', 'param_scheduler')],
    )
    @pytest.mark.fault(
        '`max_epochs = 5` over a base whose `train_cfg` has another, or a key of MMAction 0.x',
        'nothing is said',
        'warned, with the key that is meant',
    )
    def test_keys_that_change_nothing(self, clips, monkeypatch, capfd, option, meant):
        start(monkeypatch, clips, 'train', 'config.py', options=[option])
        key = option.partition('.')[0].partition('=')[0]
        said = f'nothing reads {key!r}; did you mean {meant!r}?'
        assert said in ''.join(capfd.readouterr())

    def test_curves_for_tensorboard(self, clips, monkeypatch):
        pytest.importorskip('tensorboard')
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        add_page(clips, 'TensorBoard')
        start(monkeypatch, clips, 'train', 'config.py', '--work-dir', 'run')
        (events,) = clips.glob('run/*/vis_data/events.*')
        curves = EventAccumulator(str(events)).Reload()
        assert {'loss', 'lr', 'acc/top1'} <= set(curves.Tags()['scalars'])
        assert list(clips.glob('run/*/vis_data/scalars.json'))

    def test_curves_for_weights_and_biases(self, clips, monkeypatch):
        pytest.importorskip('wandb')
        monkeypatch.setenv('WANDB_MODE', 'offline')
        add_page(clips, 'Weights & Biases', "mode='online'", "mode='offline'")
        start(monkeypatch, clips, 'train', 'config.py', '--work-dir', 'run')
        assert list(clips.glob('run/**/offline-run-*/*.wandb'))


def add_page(folder, heading, *replaced):
    """Append lines of docs/visualize.md to the config."""
    page = (ROOT / 'docs' / 'visualize.md').read_text(encoding='utf-8')
    lines = re.search(rf'```python\n# {heading}.*?\n(.*?)```', page, re.DOTALL)[1]
    config = (folder / 'config.py').read_text().replace('visualizer = ', 'shown = ')
    lines = lines.replace('visualizer = dict(', "visualizer = dict(type='ActionVisualizer', ")
    (folder / 'config.py').write_text(config + (lines.replace(*replaced) if replaced else lines))


def start(monkeypatch, folder, *arguments, options=()):
    """``mmdualhead`` with some arguments, in a folder; experiments of one process need names of their own."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr('sys.argv', ['mmdualhead', *arguments])
    monkeypatch.setattr('sys.path', sys.path[:])
    name = f'experiment_name={folder.name}-{next(EXPERIMENTS)}'
    assert cli.main([*arguments, '--cfg-options', name, *options]) == 0

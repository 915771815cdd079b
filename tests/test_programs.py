"""MMAction2's own programs on a config that names mmdualhead nowhere but in ``custom_imports``."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import mmaction
import numpy as np
import pytest

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


@pytest.fixture
def clips(tmp_path):
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
    (tmp_path / 'clips.pkl').write_bytes(pickle.dumps({'split': split, 'annotations': annotations}))
    (tmp_path / 'config.py').write_text(CONFIG)
    return tmp_path


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

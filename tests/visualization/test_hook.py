import re
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import VISUALIZERS
from mmaction.structures import ActionDataSample
from mmengine.registry import DefaultScope

from mmdualhead.datasets.transforms import SkeletonStream
from mmdualhead.visualization import ShowValidationHook, figures

pytest.importorskip('matplotlib')
pytest.importorskip('plotly')


class Pictures(dict):
    def add_image(self, name, image, step):
        self[name] = image, step


class Clips(list):
    metainfo = MappingProxyType(dict(classes=('a', 'b')))
    pipeline = SimpleNamespace(transforms=[SkeletonStream('nturgb+d', stream='j')])

    def get_data_info(self, index):
        return self[index]


def make_sample(name, label):
    sample = ActionDataSample(metainfo=dict(frame_dir=name)).set_gt_label(label)
    sample.set_pred_score(torch.tensor([0.9, 0.1]))
    return sample


def test_a_validation_shows_the_matrix_and_some_clips_every_second_time(monkeypatch):
    monkeypatch.setattr(figures, 'DPI', 30)
    rng = np.random.default_rng(0)
    clips = Clips(dict(frame_dir=f'c{i}', keypoint=rng.normal(size=(1, 9, 25, 3))) for i in range(5))
    runner = SimpleNamespace(
        rank=0, iter=7, visualizer=Pictures(), val_dataloader=SimpleNamespace(dataset=clips)
    )
    hook = ShowValidationHook(clips=2, interval=2)
    for validation in range(2):
        assert not runner.visualizer, validation
        hook.before_val_epoch(runner)
        hook.after_val_iter(runner, 0, outputs=[make_sample(f'c{i}', i % 2) for i in range(5)])
        hook.after_val_epoch(runner)
    assert set(runner.visualizer) == {'val_confusion', 'val_clip_0', 'val_clip_1'}
    for image, step in runner.visualizer.values():
        assert step == 7
        assert image.ndim == 3
        assert np.ptp(image) > 100


@pytest.mark.parametrize(
    ('package', 'backend', 'written'),
    [('tensorboard', 'Tensorboard', 'events.out.tfevents.*'), ('wandb', 'Wandb', 'run-*.wandb')],
)
def test_lines_of_the_guide_for_other_viewers(package, backend, written, tmp_path, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / 'docs' / 'visualize.md').read_text()
    (code,) = [one for one in re.findall('```python\n(.*?)```', page, re.DOTALL) if backend in one]
    lines: dict = {}
    exec(code.replace("mode='online'", "mode='offline'"), lines)
    config = dict(type='ActionVisualizer', name=backend, save_dir=str(tmp_path), **lines['visualizer'])
    with DefaultScope.overwrite_default_scope('mmaction'):
        visualizer = VISUALIZERS.build(config)
    visualizer.add_scalar('acc/top1', 0.5, step=1)
    visualizer.close()
    assert list(tmp_path.rglob(written))

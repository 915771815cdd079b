import re
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS, VISUALIZERS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdualhead.datasets.transforms import SkeletonStream
from mmdualhead.skeletons import get_skeleton
from mmdualhead.visualization import ShowValidationHook, figures
from mmdualhead.visualization import hook as hook_module
from mmdualhead.visualization.drawings import flattened

pytest.importorskip('matplotlib')
pytest.importorskip('plotly')

CONFIGS = Path(__file__).parents[2] / 'configs'


class Pictures(dict):
    def add_image(self, name, image, step):
        self[name] = image, step


class Clips(list):
    """Random clips of a layout, as a data set with a pipeline."""

    metainfo = MappingProxyType(dict(classes=('a', 'b')))

    def __init__(self, *names, layout='nturgb+d', steps=None):
        rng, joints = np.random.default_rng(0), get_skeleton(layout).num_joints
        super().__init__(dict(frame_dir=name, keypoint=rng.normal(size=(1, 9, joints, 3))) for name in names)
        self.pipeline = SimpleNamespace(transforms=steps or [SkeletonStream(layout, stream='j')])

    def get_data_info(self, index):
        return self[index]


def make_sample(name, label):
    sample = ActionDataSample(metainfo=dict(frame_dir=name)).set_gt_label(label)
    sample.set_pred_score(torch.tensor([0.9, 0.1]))
    return sample


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(figures, 'DPI', 30)


def validate(hook, dataset, labels):
    """What the hook shows of a validation of clips, whose labels are given by name."""
    loader = SimpleNamespace(dataset=dataset)
    runner = SimpleNamespace(rank=0, iter=7, visualizer=Pictures(), val_dataloader=loader)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, outputs=[make_sample(*item) for item in labels.items()])
    hook.after_val_epoch(runner)
    return runner.visualizer


def test_a_validation_shows_the_matrix_and_some_clips_every_second_time():
    labels = {f'c{i}': i % 2 for i in range(5)}
    hook = ShowValidationHook(clips=2, interval=2)
    assert not validate(hook, Clips(*labels), labels)
    shown = validate(hook, Clips(*labels), labels)
    assert set(shown) == {'val_confusion', 'val_clip_0', 'val_clip_1'}
    for image, step in shown.values():
        assert step == 7
        assert image.ndim == 3
        assert np.ptp(image) > 100


@pytest.fixture
def drawn(monkeypatch):
    """The predictions that are drawn, in place of their drawings."""
    answers = []
    monkeypatch.setattr(hook_module, 'draw_strip', lambda answer, _file: answers.append(answer))
    monkeypatch.setattr(hook_module, 'draw_confusion', lambda *_: None)
    monkeypatch.setattr(hook_module, '_picture', lambda draw, *what: draw(*what, None))
    return answers


@pytest.mark.fault(
    'validation clips whose pipeline has a VirtualCamera are shown',
    '-',
    'drawn in the layout of the recording, in 3-D',
)
def test_recordings_before_a_camera_are_drawn_as_recorded(drawn):
    config = Config.fromfile(CONFIGS / 'dualhead_utd_mhad_2d_j+b+jm.py')
    with DefaultScope.overwrite_default_scope('mmaction'):
        steps = [TRANSFORMS.build(step) for step in config.val_dataloader.dataset.pipeline]
    clips = Clips('c0', 'c1', layout='kinect_v1', steps=steps)
    validate(ShowValidationHook(), clips, dict(c0=0, c1=1))
    assert [(one.skeleton.name, one.keypoint.shape) for one in drawn] == [('kinect_v1', (1, 9, 20, 3))] * 2
    assert flattened(drawn[0]).shape == (1, 9, 20, 2)


def test_clips_of_several_data_sets(drawn):
    both = SimpleNamespace(datasets=[Clips('c0', 'c1'), Clips('k0', 'k1', layout='kinect_v1')])
    shown = validate(ShowValidationHook(clips=2), both, dict(c0=0, c1=1, k0=0, k1=1))
    assert set(shown) == {'val_confusion', 'val_clip_0', 'val_clip_1'}
    assert [(one.name, one.skeleton.name) for one in drawn] == [('c0', 'nturgb+d'), ('k1', 'kinect_v1')]


def test_clips_of_several_classes_have_no_matrix(drawn):
    shown = validate(ShowValidationHook(), Clips('c0', 'c1'), dict(c0=torch.ones(2), c1=torch.eye(2)[0]))
    assert set(shown) == {'val_clip_0', 'val_clip_1'}
    assert [one.true_label for one in drawn] == [None, None]


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

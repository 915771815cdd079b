"""MMAction2's inference calls give what testing gives, for every benchmark, protocol and stream."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer, inference_skeleton, init_recognizer
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmdualhead.evaluation.scores import load_scores
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import COCO, OPENPOSE, Skeleton
from tests.datasets.clips import make_clip

ROOT = Path(__file__).parents[1] / 'configs'
DATA = ROOT.parent / 'docs' / 'data.md'
CONFIGS = [
    path
    for path in sorted([*ROOT.glob('dualhead_*.py'), *ROOT.glob('quickstart_*.py')])
    if not path.stem.startswith('dualhead_utd_mhad_2d')
]
"""Those of other networks say the same of clips, as test_configs.py shows; that of UTD-MHAD in 2-D is tested
through a virtual camera, and predicts without one."""

RUN = [f'quickstart_{stream}' for stream in ('j', 'b', 'jm', 'bm')]
RUN_ON_DEMAND = [
    *('dualhead_ntu60_xsub_jm', 'dualhead_ntu60_xsub_strong_b', 'dualhead_ntu60_xsub_u100_bm'),
    *(
        'dualhead_ntu60_xsub_2d_bm',
        'dualhead_kinetics_b',
        'dualhead_utd_mhad_bm',
        'msg3d_ntu60_xsub_u100_b',
        'stgcn_utd_mhad_jm',
    ),
]


def make_clips(skeleton: Skeleton, persons: int) -> list[dict]:
    """Clips as the data sets of a layout have them: x, y, z; x, y, score; or pixels and scores apart."""
    clips = [
        make_clip(1 + i % persons, frames, seed=i, joints=skeleton.num_joints, label=i)
        for i, frames in enumerate((37, 130, 215))
    ]
    for clip in clips if skeleton in (COCO, OPENPOSE) else ():
        clip['keypoint'][..., 2] = np.random.default_rng(0).uniform(0.2, 1, clip['keypoint'].shape[:3])
    for clip in clips if skeleton == COCO else ():
        keypoint = clip['keypoint']
        clip |= dict(img_shape=(1080, 1920), original_shape=(1080, 1920), keypoint_score=keypoint[..., 2])
        clip['keypoint'] = (500 + 200 * keypoint[..., :2]).astype(np.float16)
        clip['keypoint_score'] = clip['keypoint_score'].astype(np.float16)
    return clips


def prepare(path: Path, folder: Path) -> tuple[Config, list[dict]]:
    """A config whose test loader reads a few clips in ``folder``, and these clips."""
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    skeleton = NetworkInput.of_config(config).skeleton
    clips = make_clips(skeleton, config.model.backbone.get('num_person', 2))
    dataset = config.test_dataloader.dataset
    dataset.ann_file = str(folder / 'clips.pkl')
    names = [clip['frame_dir'] for clip in clips]
    Path(dataset.ann_file).write_bytes(pickle.dumps(dict(split={dataset.split: names}, annotations=clips)))
    return config, clips


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_the_network_is_fed_as_in_testing(path, tmp_path):
    config, clips = prepare(path, tmp_path)
    tested = DATASETS.build(config.test_dataloader.dataset)
    pipeline = Compose(config.test_pipeline)
    assert len(tested) == len(clips)
    for index, clip in enumerate(clips):
        found, expected = pipeline(copy.deepcopy(clip))['inputs'], tested[index]['inputs']
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        assert found.any()
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


class Echo:
    """Gives back what the network would be fed with."""

    def __init__(self, config: Config) -> None:
        self.cfg = config

    def test_step(self, data: dict) -> list[torch.Tensor]:
        return data['inputs']


def estimates(clip: dict) -> list[dict]:
    """A clip as MMAction2's ``pose_inference`` returns it: the persons of each frame."""
    frames = zip(clip['keypoint'].swapaxes(0, 1), clip['keypoint_score'].swapaxes(0, 1), strict=True)
    return [dict(keypoints=keypoint, keypoint_scores=score) for keypoint, score in frames]


@pytest.mark.parametrize('name', [path.stem for path in CONFIGS if '_2d_' in path.stem])
def test_inference_skeleton_feeds_the_network_as_in_testing(name, tmp_path):
    config, clips = prepare(ROOT / f'{name}.py', tmp_path)
    tested = DATASETS.build(config.test_dataloader.dataset)
    for index, clip in enumerate(clips):
        found = inference_skeleton(Echo(config), estimates(clip), clip['img_shape'])
        assert found.shape[-1] == 3
        torch.testing.assert_close(found, tested[index]['inputs'], rtol=0, atol=0)


def test_poses_extracted_by_mmaction2_are_joined_as_the_documentation_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ('poses', 'data/skeleton'):
        Path(folder).mkdir(parents=True)
    clips = make_clips(COCO, 2)
    names = ('S001C001P001R001A001', 'S001C001P003R001A002', 'S017C003P040R002A060')
    for clip, name in zip(clips, names, strict=True):
        clip |= dict(frame_dir=name, label=int(name[-3:]) - 1)
        Path(f'poses/{name}.pkl').write_bytes(pickle.dumps(clip))
    (section,) = re.findall(r'^### NTU RGB\+D in 2-D\n(.*?)(?=^###? )', DATA.read_text(), re.M | re.S)
    exec(re.findall(r'^```python\n(.*?)^```', section, re.M | re.S)[0], {})

    config = Config.fromfile(ROOT / 'dualhead_ntu60_xsub_2d_j.py')
    init_default_scope(config.default_scope)
    train, test = (DATASETS.build(config[f'{role}_dataloader'].dataset) for role in ('train', 'test'))
    assert [train[0]['data_samples'].frame_dir] == ['S001C001P001R001A001']
    assert [test[i]['data_samples'].gt_label.item() for i in range(len(test))] == [1, 59]


@pytest.mark.parametrize(
    'name', [*RUN, *(pytest.param(name, marks=pytest.mark.heavy) for name in RUN_ON_DEMAND)]
)
def test_inference_recognizer_gives_the_scores_of_a_test(name, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    config, clips = prepare(ROOT / f'{name}.py', tmp_path)
    model = init_recognizer(copy.deepcopy(config), device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    config.work_dir, config.load_from = str(tmp_path / 'run'), str(tmp_path / 'weights.pth')
    config.test_dataloader.update(num_workers=0, persistent_workers=False)

    runner = Runner.from_cfg(config)
    runner.test()

    (dump,) = (tmp_path / 'run').rglob('scores.npz')
    tested = load_scores(dump)
    found = [inference_recognizer(model, copy.deepcopy(clip)).pred_score for clip in clips]
    if '_2d_' in name:
        found = [inference_skeleton(model, estimates(clip), clip['img_shape']).pred_score for clip in clips]
    assert tested.names == tuple(clip['frame_dir'] for clip in clips)
    np.testing.assert_allclose(torch.stack(found).numpy(), tested.fused, atol=1e-5)

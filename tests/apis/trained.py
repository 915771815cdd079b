"""Small trained models, as training leaves them on the disk."""

from __future__ import annotations

from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdualhead.models.backbone import input_shape_of

CONFIGS = Path(__file__).parents[2] / 'configs'
SMALL = dict(
    graph_cfg=dict(gcn_scales=3, g3d_scales=2),
    backbone=dict(channels=(6,), windows=(3,)),
    heads=dict(coarse=dict(channels=(12, 24)), fine=dict(channels=(12, 24), windows=(3,))),
)


def small_config(name: str = 'dualhead_utd_mhad_j') -> Config:
    """One of the package's configs with a fraction of its channels, tested on two samples per recording."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.merge_from_dict(dict(model=SMALL))
    for steps in (config.test_pipeline, config.test_dataloader.dataset.pipeline):
        for step in steps:
            if step['type'] == 'UniformSampleClips':
                step.update(num_clips=2, clip_len=16)
            if step['type'] == 'PadTo':
                step['length'] = 40
    return config


def shortened(name: str = 'dualhead_utd_mhad_j') -> Config:
    """A small config, also where MMAction2's step samples."""
    config = small_config(name)
    for steps in (config.test_pipeline, config.test_dataloader.dataset.pipeline):
        for step in steps:
            if step['type'] == 'UniformSampleFrames':
                step.update(num_clips=2, clip_len=16)
    return config


def random_network(config: Config, seed: int = 0, passes: int = 20) -> torch.nn.Module:
    """A network whose attentions and batch norms differ from clip to clip, as trained ones do."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmaction'):
        network = MODELS.build(config.model)
    persons, joints, channels = input_shape_of(network.backbone)
    persons = persons or 2
    with torch.no_grad():
        for name, value in network.named_parameters():
            if 'attention' in name or 'linear' in name:
                value.normal_(std=0.5)
        # Batch norms take the statistics of what they are to see.
        for _ in range(passes):
            network(torch.randn(4, 1, persons, 16, joints, channels).cumsum(3), mode='tensor')
    return network


def save_trained(path: Path, config: Config, seed: int = 0, passes: int = 20, **meta: object) -> Path:
    """Write the checkpoint that MMEngine would."""
    network = random_network(config, seed, passes)
    torch.save(dict(meta=dict(cfg=config.pretty_text, **meta), state_dict=network.state_dict()), path)
    return path

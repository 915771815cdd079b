"""The exported function of joints is the model behind its own pipeline, whatever that forms and samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import PreNormalize3D
from mmengine.config import Config

from mmdualhead.apis.export import largest_difference
from mmdualhead.apis.exported import ExportedNetwork, Normalize, PreNormalize
from mmdualhead.apis.trained import ModelError, load_trained
from mmdualhead.datasets.pipelines import with_stream
from mmdualhead.datasets.transforms.normalize import normalize_clip
from mmdualhead.datasets.transforms.streams import STREAMS, register_stream
from mmdualhead.skeletons import get_skeleton
from tests.apis.trained import CONFIGS, save_trained, shortened


def difference(path, config) -> tuple[ExportedNetwork, float]:
    """Of a small model's exported form and the model, both in PyTorch."""
    model = load_trained(save_trained(path, config), device='cpu')
    network = ExportedNetwork(model).eval()
    run = lambda *batch: [y.numpy() for y in network(*map(torch.from_numpy, batch))]  # noqa: E731
    return network, largest_difference(network, run)


@pytest.mark.parametrize(
    ('name', 'normalizes', 'samples_first'),
    [
        ('dualhead_ntu60_xsub_bm', True, True),
        ('dualhead_utd_mhad_jm', True, False),
        ('dualhead_kinetics_b', False, True),
    ],
)
def test_it_is_the_model_behind_its_pipeline(tmp_path, name, normalizes, samples_first):
    network, worst = difference(tmp_path / 'model.pth', shortened(name))
    assert network.takes_joints
    found = (isinstance(network.normalize, Normalize), network.model.input.sampling.before_stream)
    assert found == (normalizes, samples_first)
    assert worst < 1e-5


def test_mmaction2s_normalization(tmp_path):
    config = shortened('dualhead_ntu60_xsub_u100_jm')
    assert config.test_pipeline[0]['type'] == 'PreNormalize3D'
    network, worst = difference(tmp_path / 'model.pth', config)
    assert isinstance(network.normalize, PreNormalize)
    assert worst < 1e-5


def test_ctrgcn(tmp_path):
    config = Config.fromfile(CONFIGS / 'ctrgcn_utd_mhad_b.py')
    config.merge_from_dict(
        {
            'model.backbone': dict(channels=(16, 24, 24), strides=(1, 2, 1)),
            'model.cls_head.in_channels': 24,
            'test_pipeline.2': dict(num_clips=2, clip_len=16),
        }
    )
    network, worst = difference(tmp_path / 'model.pth', config)
    assert network.outputs == ('fused_score',)
    assert worst < 1e-5


def test_several_streams_at_once(tmp_path):
    config = shortened()
    *_, config.test_pipeline = with_stream(config, 'j+bm')
    config.pop('train_dataloader')
    config.model.backbone.in_channels = 6
    network, worst = difference(tmp_path / 'model.pth', config)
    assert network.input_joints == (20, 3)
    assert worst < 1e-5


def test_a_stream_of_ones_own_is_formed_outside(tmp_path, monkeypatch):
    monkeypatch.setitem(STREAMS, 'twice', STREAMS['j'])  # so that it is taken out again
    del STREAMS['twice']
    register_stream('twice', 'twice the joints')(lambda keypoint, skeleton, scored: 2 * keypoint)  # noqa: ARG005
    config = shortened()
    *_, config.test_pipeline = with_stream(config, 'twice')
    config.pop('train_dataloader')
    network, worst = difference(tmp_path / 'model.pth', config)
    assert not network.takes_joints
    assert worst < 1e-5


@pytest.mark.parametrize('layout', ['nturgb+d', 'kinect_v1'])
def test_normalization_is_the_packages(layout):
    """Main person second, missing joints, a person who is upside down, one without a spine, and nobody."""
    skeleton = get_skeleton(layout)
    joints = np.random.default_rng(0).normal((0, 0, 3), 0.4, (5, 3, 11, skeleton.num_joints, 3))
    joints[0, 0, :6] = 0
    joints[0, 1, 0] = 0
    joints[1, :, 2, 5] = 0
    tail, head = skeleton.up
    joints[2, 0, :, head] = joints[2, 0, :, tail] - (0, 0, 0.5)
    joints[3, 0, :, head] = joints[3, 0, :, tail]
    joints[4] = 0
    found = Normalize(skeleton)(torch.tensor(joints, dtype=torch.float32)).numpy()
    for clip, expected in zip(found, joints, strict=True):
        np.testing.assert_allclose(clip, normalize_clip(expected, skeleton).keypoint, atol=1e-5)


@pytest.mark.parametrize('layout', ['nturgb+d', 'kinect_v1'])
def test_its_reference_is_the_packages(layout):
    """Joints of the reference that are missing, in some frames or in all, or a center that is truly zero."""
    skeleton = get_skeleton(layout)
    random = np.random.default_rng(0)
    body = random.normal((0, 0, 3), 0.3, (15, 2, 1, skeleton.num_joints, 3))
    joints = body + random.normal(0, 0.01, (15, 2, 7, skeleton.num_joints, 3))
    for clip, joint in enumerate([skeleton.center, *skeleton.up, *skeleton.across]):
        joints[clip, 0, :2, joint] = 0
        joints[clip + 5, 0, :, joint] = 0
    joints[10] = normalize_clip(joints[10], skeleton).keypoint
    joints[11] -= joints[11][:, :, [skeleton.center]]
    joints[12:] -= joints[12:][:, :, :, [skeleton.up[0]]]
    joints[13, 1, 4:] = 0  # gone
    joints[14, 0, :, skeleton.across[0]] = 0
    found = Normalize(skeleton)(torch.tensor(joints, dtype=torch.float32)).numpy()
    for clip, expected in zip(found, joints, strict=True):
        np.testing.assert_allclose(clip, normalize_clip(expected, skeleton).keypoint, atol=1e-5)


def test_mmaction2s_reference_is_its_own():
    joints = np.random.default_rng(0).normal((0, 0, 3), 0.3, (3, 1, 7, 25, 3)).astype(np.float32)
    for clip, joint in enumerate((1, 0, 8)):
        joints[clip, 0, :2, joint] = 0
    found = PreNormalize(get_skeleton('nturgb+d'))(torch.from_numpy(joints)).numpy()
    for clip, expected in zip(found, joints, strict=True):
        theirs = PreNormalize3D().transform(dict(keypoint=expected))['keypoint']
        np.testing.assert_allclose(clip, theirs, atol=1e-5)


@pytest.mark.parametrize('frame', [-1, 9, 17, 18, 1 << 40])
def test_a_frame_that_a_recording_lacks_is_an_error(checkpoint, frame):
    network = ExportedNetwork(load_trained(checkpoint, device='cpu')).eval()
    joints = torch.randn(2, 1, 9, 20, 3)
    frames = torch.arange(8).repeat(2, 1, 1)
    network(joints, frames)
    frames[0, 0, 3] = frame
    with pytest.raises(IndexError):
        network(joints, frames)


def test_other_networks_are_refused(tmp_path, checkpoint):
    model = load_trained(checkpoint, device='cpu')
    other = replace(model, network=torch.nn.Linear(2, 2), source=tmp_path / 'other.pth')
    with pytest.raises(ModelError, match=r'other\.pth: only DualHead-Net, MS-G3D, CTR-GCN, ST-GCN and'):
        ExportedNetwork(other)

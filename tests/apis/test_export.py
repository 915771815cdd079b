"""Exported files answer what the models answer, are checked before there is one, and need no PyTorch."""

from __future__ import annotations

import errno
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.export import ExportError, export, largest_difference, open_exported, write
from mmdualhead.apis.exported import ExportedNetwork
from mmdualhead.apis.trained import PACKAGED, load_trained
from mmdualhead.datasets.pipelines import with_stream
from mmdualhead.datasets.transforms import register_stream
from mmdualhead.engine.checks import LOADERS
from tests.apis.trained import CONFIGS, save_trained, small_config
from tests.models.test_recognizer import middle_head

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / 'docs' / 'examples' / 'onnx_predict.py'
TOOL = ROOT / 'tools' / 'export.py'
BLOCKED = """
import sys, runpy
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'mmengine', 'mmaction', 'mmcv', 'mmdualhead', 'onnx', 'scipy'):
            raise ImportError(f'{name} is not here')
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope='module')
def needed():
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name)


@pytest.fixture(scope='module')
def exported(checkpoint, needed, tmp_path_factory):  # noqa: ARG001
    """The file of a small model, by the tool, and what the tool says."""
    target = tmp_path_factory.mktemp('exported') / 'model.onnx'
    return target, run_tool(checkpoint, target)


@pytest.fixture(scope='module')
def example(needed):  # noqa: ARG001
    return runpy.run_path(str(EXAMPLE))


def run_tool(*arguments) -> str:
    """What the tool prints, or the error that it ends with."""
    import contextlib
    import io
    from unittest import mock

    printed = io.StringIO()
    argv = [str(TOOL), *map(str, arguments)]
    with mock.patch.object(sys, 'argv', argv), contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as error:
            return str(error)
    return printed.getvalue()


def session_of(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    text = session.get_modelmeta().custom_metadata_map
    return session, {k: v if k in ('layout', 'stream') else json.loads(v) for k, v in text.items()}


def test_the_tool_writes_and_says_what(exported):
    target, said = exported
    assert f'{target.stat().st_size:,} bytes, ' in said
    assert int(said.split(' nodes')[0].split()[-1]) < 800
    assert 'outputs differ by' in said
    assert 'pipeline' not in said
    assert [path.name for path in target.parent.iterdir()] == ['model.onnx']


def test_the_file_says_what_it_is(exported, checkpoint):
    session, told = session_of(exported[0])
    model = load_trained(checkpoint, device='cpu')
    assert tuple(told['classes']) == model.classes
    assert (told['layout'], told['stream'], told['num_person']) == ('kinect_v1', 'j', 1)
    assert told['joints'] == list(model.skeleton.joints)
    assert told['sampling'] == dict(clip_len=16, num_clips=2, seed=255)
    names = [output.name for output in session.get_outputs()]
    assert names == ['fused_score', 'coarse_score', 'fine_score', 'frame_attention', 'joint_attention']
    assert [one.shape for one in session.get_inputs()] == [
        ['recordings', 'persons', 'frames', 20, 3],
        ['recordings', 'samples', 'length'],
    ]


@pytest.mark.parametrize('frames', [1, 7, 16, 25, 90])
def test_the_example_answers_what_the_inferencer_answers(exported, example, inferencer, recording, frames):
    joints = recording(frames)[None]
    joints[:, 3:5] = 0  # nobody there
    session, told = session_of(exported[0])
    inputs = example['prepare'](joints, told)
    fused, coarse, fine, when, where = session.run(None, dict(zip(('joints', 'frames'), inputs, strict=True)))
    answer = inferencer(joints, unit='m')['predictions'][0]
    for name, found in dict(fused=fused, coarse=coarse, fine=fine).items():
        np.testing.assert_allclose(found[0], answer.scores[name], atol=1e-5)
    np.testing.assert_allclose(where[0], answer.where, atol=1e-5)
    kept = np.flatnonzero(joints.any((0, 2, 3)))[inputs[1][0]].ravel()
    mean = np.bincount(kept, when[0].ravel(), frames) / np.maximum(np.bincount(kept, minlength=frames), 1)
    seen = ~np.isnan(answer.when)
    np.testing.assert_allclose(mean[seen], answer.when[seen], atol=1e-5)


@pytest.mark.fault(
    'a frame index that a recording of an exported batch lacks',
    'the next recording of the batch is read',
    'an error of onnxruntime',
)
@pytest.mark.parametrize('frame', [-1, 9, 17, 18])
def test_frames_are_those_of_the_recording(exported, recording, frame):
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    session, _ = session_of(exported[0])
    joints = np.stack([recording(9, seed)[None] for seed in (0, 1)])
    frames = np.tile(np.arange(8), (2, 1, 1))
    fused = session.run(None, dict(joints=joints, frames=frames))[0]
    alone = session.run(None, dict(joints=joints[:1], frames=frames[:1]))[0]
    np.testing.assert_allclose(fused[:1], alone, atol=1e-6)
    frames[0, 0, 3] = frame
    with pytest.raises(InvalidArgument, match='out of data bounds'):
        session.run(None, dict(joints=joints, frames=frames))


def test_the_example_runs_without_pytorch(exported, inferencer, recording, tmp_path):
    joints = recording(40)[None]
    np.save(tmp_path / 'joints.npy', joints)
    command = [sys.executable, '-c', BLOCKED, str(EXAMPLE), str(exported[0]), 'joints.npy']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    best = inferencer(joints, unit='m')['predictions'][0].top(5)
    printed = [line.split(' %  ') for line in done.stdout.splitlines()[:5]]
    assert [name for _, name in printed] == [guess.name for guess in best]
    assert [float(score) for score, _ in printed] == pytest.approx([100 * g.score for g in best], abs=0.06)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x: x[..., :2], r'shape \(1, 9, 20, 2\), expected \(persons, frames, 20, 3\)'),
        (lambda x: x * 0, '0 persons, expected 1 to 1'),
        (lambda x: np.concatenate([x, x]), '2 persons, expected 1 to 1'),
        (lambda x: x + np.nan, 'not finite'),
        (lambda x: 1000 * x, 'bones of .*expected 0.01 to 2; are they in another unit'),
    ],
)
def test_the_example_refuses_what_the_model_does_not_take(exported, example, recording, change, message):
    with pytest.raises(ValueError, match=message):
        example['prepare'](change(recording(9)[None]), session_of(exported[0])[1])


@pytest.mark.usefixtures('needed')
def test_a_third_head_on_2d_joints(tmp_path):
    config = small_config('dualhead_ntu60_xsub_2d_bm')
    config.merge_from_dict(dict(model=middle_head()))
    config.test_pipeline[2].update(num_clips=2, clip_len=12)
    model = load_trained(save_trained(tmp_path / 'model.pth', config), device='cpu')
    network = ExportedNetwork(model).eval()
    assert network.outputs[:4] == ('fused_score', 'coarse_score', 'fine_score', 'middle_score')
    content, nodes = write(network)
    assert largest_difference(network, open_exported(content)) < 1e-5
    assert nodes < 900


@register_stream('length', 'joints and their distance from the center')
def length_stream(keypoint, skeleton, scored):  # noqa: ARG001
    return np.concatenate([keypoint, np.linalg.norm(keypoint, axis=-1, keepdims=True)], -1)


@pytest.mark.usefixtures('needed')
@pytest.mark.parametrize(('stream', 'channels'), [('length', 4), ('j+length', 7)])
def test_a_stream_of_ones_own_of_other_channels(tmp_path, stream, channels):
    config = small_config()
    *loaders, config.test_pipeline = with_stream(config, stream)
    config.merge_from_dict(dict(zip(LOADERS, loaders, strict=True)))
    config.model.backbone.in_channels = channels
    path = save_trained(tmp_path / 'model.pth', config)
    network = ExportedNetwork(load_trained(path, device='cpu')).eval()
    assert network.input_joints == (20, channels)
    said = run_tool(path, tmp_path / 'model.onnx')
    assert 'It takes the output of the pipeline' in said
    assert largest_difference(network, open_exported((tmp_path / 'model.onnx').read_bytes())) < 1e-5


@pytest.mark.usefixtures('needed')
def test_msg3d_of_two_persons(tmp_path):
    from mmengine.config import Config

    config = Config.fromfile(CONFIGS / 'msg3d_ntu60_xsub_j.py')
    small = dict(graph_cfg=dict(gcn_scales=3, g3d_scales=2), channels=(6, 12, 24), windows=(3,))
    config.merge_from_dict(dict(model=dict(backbone=small, cls_head=dict(in_channels=24))))
    config.test_pipeline[1]['length'] = 40
    model = load_trained(save_trained(tmp_path / 'model.pth', config), device='cpu')
    network = ExportedNetwork(model).eval()
    assert network.outputs == ('fused_score',)
    content, _ = write(network)
    assert largest_difference(network, open_exported(content)) < 1e-5


@pytest.mark.usefixtures('needed')
def test_ctrgcn_on_2d_joints(tmp_path):
    import torch
    from mmengine.config import Config

    config = Config.fromfile(CONFIGS / 'ctrgcn_ntu60_xsub_2d_bm.py')
    small = dict(backbone=dict(channels=(16, 24, 24), strides=(1, 2, 1)), cls_head=dict(in_channels=24))
    config.merge_from_dict(dict(model=small))
    config.test_pipeline[2].update(num_clips=2, clip_len=12)
    path = save_trained(tmp_path / 'model.pth', config)
    checkpoint = torch.load(path)
    for name, value in checkpoint['state_dict'].items():
        if name.endswith('alpha'):
            value.fill_(0.5)
    torch.save(checkpoint, path)
    network = ExportedNetwork(load_trained(path, device='cpu')).eval()
    content, nodes = write(network)
    assert largest_difference(network, open_exported(content)) < 1e-5
    assert nodes < 300


@pytest.mark.usefixtures('needed')
@pytest.mark.parametrize(
    ('name', 'backbone'),
    [
        ('stgcn_quickstart_j', {}),
        ('stgcn_ntu60_xsub_2d_bm', dict(base_channels=8, data_bn_type='MVC')),
        ('stgcnpp_utd_mhad_b', dict(base_channels=16)),
        ('stgcnpp_utd_mhad_jm', dict(base_channels=16, gcn_adaptive='offset', gcn_conv_pos='post')),
    ],
)
def test_networks_of_mmaction2(tmp_path, name, backbone):
    import torch
    from mmengine.config import Config

    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.model.backbone.update(backbone)
    config.model.cls_head.in_channels = 4 * config.model.backbone.base_channels
    for step in config.test_pipeline:
        if step['type'] in ('UniformSampleClips', 'UniformSampleFrames'):
            step.update(num_clips=2, clip_len=12)
    path = save_trained(tmp_path / 'model.pth', config)
    checkpoint = torch.load(path)
    for key, value in checkpoint['state_dict'].items():
        if key.endswith('.PA') or key.startswith('cls_head.fc'):
            value.normal_()
    torch.save(checkpoint, path)
    network = ExportedNetwork(load_trained(path, device='cpu')).eval()
    assert network.outputs == ('fused_score',)
    content, nodes = write(network)
    assert largest_difference(network, open_exported(content)) < 1e-5
    assert nodes < 800


def test_other_suffixes_are_refused(tmp_path, checkpoint):
    assert run_tool(checkpoint, tmp_path / 'model.pt2').endswith("model.pt2 ends with '.pt2', expected .onnx")


def test_a_file_is_not_overwritten(tmp_path, checkpoint):
    (tmp_path / 'model.onnx').write_text('mine')
    assert run_tool(checkpoint, tmp_path / 'model.onnx').endswith('model.onnx is there already')
    assert (tmp_path / 'model.onnx').read_text() == 'mine'


def test_the_extra_is_named(tmp_path, checkpoint, monkeypatch):
    monkeypatch.setattr('mmdualhead.apis.export.find_spec', lambda name: None)  # noqa: ARG005
    said = run_tool(checkpoint, tmp_path / 'model.onnx')
    assert said == 'error: onnx and onnxruntime not installed: pip install "mmdualhead[export]"'


def test_a_foreign_checkpoint_is_named(tmp_path):
    import torch

    torch.save(dict(state_dict=dict(weight=torch.zeros(2))), tmp_path / 'foreign.pth')
    said = run_tool(tmp_path / 'foreign.pth', tmp_path / 'model.onnx')
    assert said.startswith(f'error: {tmp_path / "foreign.pth"} contains no config')
    assert '\n' not in said


@pytest.fixture
def quick(monkeypatch):
    """No network is written."""
    export_module = 'mmdualhead.apis.export'
    monkeypatch.setattr(f'{export_module}.NEEDED', ())
    monkeypatch.setattr(f'{export_module}.write', lambda network: (b'content', 1))  # noqa: ARG005
    monkeypatch.setattr(f'{export_module}.open_exported', lambda content: None)  # noqa: ARG005
    monkeypatch.setattr(f'{export_module}.largest_difference', lambda network, run: 1e-7)  # noqa: ARG005


@pytest.mark.usefixtures('quick')
@pytest.mark.parametrize('found', [2e-4, float('nan')])
def test_a_file_that_answers_otherwise_is_not_written(tmp_path, checkpoint, monkeypatch, found):
    monkeypatch.setattr('mmdualhead.apis.export.largest_difference', lambda network, run: found)  # noqa: ARG005
    with pytest.raises(ExportError, match=r'outputs differ from the model by (0\.0002|nan)'):
        export(checkpoint, tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures('quick')
def test_layers_that_cannot_be_exported_are_one_line(tmp_path, checkpoint, monkeypatch):
    def fail(*_):
        raise RuntimeError('operator x is not known\nand a long graph')

    monkeypatch.setattr('mmdualhead.apis.export.write', fail)
    said = run_tool(checkpoint, tmp_path / 'model.onnx')
    assert said == f'error: {checkpoint} cannot be exported: operator x is not known'


@pytest.mark.usefixtures('quick')
def test_a_full_disk_is_named(tmp_path, checkpoint, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('mmdualhead.utils.files.os.fsync', full)
    said = run_tool(checkpoint, tmp_path / 'model.onnx')
    assert said.endswith(f'{tmp_path / "model.onnx"} could not be written: No space left on device')
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
@pytest.mark.usefixtures('needed')
def test_the_packaged_model_and_genuine_clips(tmp_path, example):
    folder = ROOT.parent / 'shared' / 'data' / 'utd_mhad'
    clips = [folder / f'{name}_skeleton.mat' for name in ('a1_s2_t1', 'a10_s4_t2', 'a27_s8_t3')]
    if not folder.is_dir():
        pytest.skip('recordings are not at hand')
    found = export(PACKAGED, tmp_path / 'model.onnx')
    assert found['difference'] < 1e-5
    session, told = session_of(tmp_path / 'model.onnx')
    for answer in SkeletonInferencer(device='cpu')(clips)['predictions']:
        joints, frames = example['prepare'](answer.keypoint, told)
        fused, *_ = session.run(None, dict(joints=joints, frames=frames))
        np.testing.assert_allclose(fused[0], answer.scores['fused'], atol=1e-5)


@pytest.mark.heavy
@pytest.mark.usefixtures('needed')
@pytest.mark.parametrize('network', ['dualhead', 'msg3d', 'ctrgcn', 'stgcn'])
def test_networks_of_the_papers_size(tmp_path, network):
    from mmengine.config import Config

    path = save_trained(tmp_path / 'model.pth', Config.fromfile(CONFIGS / f'{network}_ntu60_xsub_j.py'))
    found = export(path, tmp_path / 'model.onnx')
    assert found['difference'] < 1e-5
    assert found['nodes'] < 800

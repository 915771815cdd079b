"""The exported network is the model; the files are checked against it before they get their name."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdualhead.apis.export import (
    ExportedNetwork,
    ExportError,
    export,
    largest_difference,
    metadata,
    stream_is_inside,
)
from mmdualhead.apis.trained import PACKAGED, TrainedModel, load_trained
from mmdualhead.datasets.transforms.normalize import normalize_clip


@pytest.fixture(scope='module')
def model() -> TrainedModel:
    return load_trained(device='cpu')


@torch.no_grad()
def test_scores_are_the_models(model):
    network = ExportedNetwork(model).eval()
    x = torch.randn(3, 1, 21, *network.input_joints)
    found = dict(zip(network.outputs, network(x), strict=True))
    logits, _ = model.network(x[:, None], mode='tensor')
    expected = dict(zip(model.network.heads, logits, strict=True))
    for name, scores in expected.items():
        torch.testing.assert_close(found[f'{name}_score'], scores.softmax(-1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found['fused_score'], model.network.cls_head.fuse(logits), rtol=0, atol=1e-5)
    assert found['frame_attention'].shape == (3, 1, 21)
    assert found['joint_attention'].shape == (3, 1, model.skeleton.num_joints)


def test_the_file_says_what_it_is(model):
    told = metadata(model, ExportedNetwork(model))
    assert told['stream'] == 'j'
    assert told['layout'] == model.skeleton.name
    assert tuple(json.loads(told['classes'])) == model.classes
    assert stream_is_inside(model)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'\.onnx, \.pt2'):
        export(PACKAGED, tmp_path / 'model.engine')


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    write = lambda network, path, told: path.write_text('') or 1  # noqa: ARG005, E731
    monkeypatch.setattr('mmdualhead.apis.export._write', write)
    monkeypatch.setattr('mmdualhead.apis.export.open_exported', lambda path: None)  # noqa: ARG005
    monkeypatch.setattr('mmdualhead.apis.export.largest_difference', lambda network, run: 2e-4)  # noqa: ARG005
    with pytest.raises(ExportError, match=r'differ from the model by 0\.0002'):
        export(PACKAGED, tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())


def test_differences_are_found(model):
    network = ExportedNetwork(model).eval()
    with torch.no_grad():
        run = lambda x: [y.numpy() + 0.5 for y in network(torch.from_numpy(x))]  # noqa: E731
        assert largest_difference(network, run) == pytest.approx(0.5, abs=1e-6)


def test_the_examples_normalization_is_the_packages(model):
    pytest.importorskip('onnxruntime')
    path = Path(__file__).parents[2] / 'docs' / 'examples' / 'onnx_predict.py'
    joints = np.random.default_rng(0).standard_normal((2, 9, model.skeleton.num_joints, 3))
    joints[0, 2:5] = 0
    joints[1, 3] = 0
    told = metadata(model, ExportedNetwork(model))
    found = runpy.run_path(str(path))['normalize'](joints, told)
    expected = normalize_clip(joints, model.skeleton).keypoint
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.heavy
def test_onnx(tmp_path):
    """Takes minutes: the exporter works through every length that the frames may have."""
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    found = export(PACKAGED, tmp_path / 'model.onnx')
    assert found['difference'] < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / 'model.onnx'))
    assert session.get_modelmeta().custom_metadata_map['stream'] == 'j'
    shape = (3, 1, 50, *ExportedNetwork(load_trained(device='cpu')).input_joints)
    fused, *_ = session.run(None, {'keypoint': np.zeros(shape, np.float32)})
    np.testing.assert_allclose(fused.sum(1), 1, atol=1e-5)

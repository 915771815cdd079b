"""torch.compile: one program without breaks, for any number of clips and frames.

The sizes differ from V, M, C and from one another, since a compiler takes equal numbers for one number.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle
from mmdualhead.models.fused import fuse
from tests.models.networks import build, small_ctrgcn_config, small_dualhead_config

CONFIGS = Path(__file__).parents[2] / 'configs'
HEADS = ('coarse', 'fine')
SHALLOW_HEAD = dict(channels=(24,), strides=(2,), windows=(3,), dilations=(1,))
SIZES = [(4, 16), (6, 11), (7, 21)]


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def shallow_network(**settings: bool) -> nn.Module:
    """One block in every part, with one window and one dilation."""
    parts = dict(backbone=dict(windows=(3,), dilations=(1,)), heads=dict.fromkeys(HEADS, SHALLOW_HEAD))
    return build(small_dualhead_config(**parts, **settings))


def assert_one_program(model: nn.Module, empty: bool = False) -> None:
    """Of the logits, equal to what runs without a compiler; train steps with their gradients.

    In double precision, since rounding differs where oneDNN computes linear layers only without a compiler.
    The second persons of the last clips are there or ``empty``.
    """
    model = model.double()
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for clips, frames in SIZES:
        x = torch.randn(clips, 1, 2, frames, 5, 3, dtype=torch.float64)
        if empty and (clips, frames) == SIZES[-1]:
            x[:, :, 1] = 0
        for axis in (0, 3):
            torch._dynamo.mark_dynamic(x, axis)
        found, expected = (results(network, x) for network in (compiled, model))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1


def results(network: nn.Module, x: Tensor) -> list[Tensor]:
    logits, _ = network(x, mode='tensor')
    if not logits[0].requires_grad:
        return list(logits)
    parameters = list(network.parameters())
    grads = torch.autograd.grad(sum(head.sin().sum() for head in logits), parameters, allow_unused=True)
    return [*logits, *(grad for grad in grads if grad is not None)]


class Logits(nn.Module):
    """MMAction2's recognizer with the answer of DualHead-Net's."""

    def __init__(self, recognizer: nn.Module) -> None:
        super().__init__()
        self.recognizer = recognizer

    def forward(self, x: Tensor, mode: str) -> tuple[tuple[Tensor], dict]:
        return (self.recognizer(x, mode=mode, stage='head'),), {}


def test_ctrgcn():
    model = build(small_ctrgcn_config())
    assert_one_program(Logits(model.train()))
    with torch.no_grad():
        torch._dynamo.reset()
        assert_one_program(Logits(fuse(model.eval())))


def test_training():
    assert_one_program(shallow_network().train())


@pytest.mark.heavy
def test_inductor_gives_the_same_training_step():
    model = shallow_network().train()
    x = torch.randn(4, 1, 2, 16, 5, 3)
    expected = results(model, x)
    torch.testing.assert_close(
        results(torch.compile(model, fullgraph=True), x), expected, rtol=1e-4, atol=1e-5
    )


def test_recomputing_updates_the_statistics_once():
    model = shallow_network(recompute=True).train()
    plain = shallow_network().train()
    plain.load_state_dict(model.state_dict())
    compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
    x = torch.randn(4, 1, 2, 16, 5, 3)
    torch.testing.assert_close(results(compiled, x), results(plain, x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)


def test_a_fused_model_computes_empty_persons_too():
    model = fuse(shallow_network().eval())
    with torch.no_grad():
        assert_one_program(model, empty=True)


@pytest.mark.heavy
def test_mmengines_option_trains_to_the_same_weights(tmp_path, monkeypatch):
    """``compile`` in a config, on the embedded data, without the minutes that inductor takes."""
    monkeypatch.chdir(tmp_path)
    data = synthetic.generate(subjects=2, repetitions=1)
    write_pickle(tmp_path / 'data' / 'skeleton' / 'synthetic.pkl', data)
    plain, compiled = (trained_weights(option, tmp_path) for option in (False, dict(backend='eager')))
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)


def trained_weights(option: bool | dict, folder: Path) -> Tensor:
    """All weights after one epoch of the shallowest network."""
    config = Config.fromfile(CONFIGS / 'quickstart_j.py')
    config.merge_from_dict(
        {
            'work_dir': str(folder / f'compiled_{bool(option)}'),
            'model.backbone.dilations': (1,),
            **{f'model.heads.{name}.{key}': value for name in HEADS for key, value in SHALLOW_HEAD.items()},
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.batch_size': 6,
            'train_cfg.max_epochs': 1,
            'train_cfg.val_begin': 2,
            'randomness.seed': 0,
            'compile': option,
        }
    )
    runner = Runner.from_cfg(config)
    runner.train()
    return torch.cat([parameter.detach().flatten() for parameter in runner.model.parameters()])

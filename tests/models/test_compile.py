"""torch.compile: one program without breaks, for any number of clips and frames.

The sizes differ from V, M, C and from one another, since a compiler takes equal numbers for one number.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from mmdualhead.models.fused import fuse
from tests.models.networks import build, small_dualhead_config

SIZES = [(4, 16), (6, 11), (7, 21)]


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def shallow_network() -> nn.Module:
    """One block in every part, with one window and one dilation."""
    parts = dict(windows=(3,), dilations=(1,))
    head = dict(channels=(24,), strides=(2,), **parts)
    return build(small_dualhead_config(backbone=parts, heads=dict(coarse=head, fine=head)))


def assert_one_program(model: nn.Module) -> None:
    """Of the logits, equal to what runs without a compiler; train steps with their gradients."""
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for clips, frames in SIZES:
        x = torch.randn(clips, 1, 2, frames, 5, 3)
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


def test_training():
    assert_one_program(shallow_network().train())


def test_a_fused_model_computes_empty_persons_too():
    model = fuse(shallow_network().eval())
    with torch.no_grad():
        assert_one_program(model)
        x = torch.randn(4, 1, 2, 16, 5, 3)
        x[:, :, 1] = 0
        compiled = torch.compile(model, backend='eager', fullgraph=True)
        torch.testing.assert_close(compiled(x, mode='tensor'), model(x, mode='tensor'), rtol=1e-4, atol=1e-5)

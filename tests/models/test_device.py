"""A network that is moved takes everything along: PyTorch's ``meta`` device refuses what stayed behind."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from benchmarking.candidates import Logits
from benchmarking.reference import ReferenceNetwork
from mmdualhead.models.fused import FusedRecognizer, fuse
from tests.models.networks import build, ctrgcn_config, dualhead_config, msg3d_config

NETWORKS = {
    'DualHead-Net': lambda: Logits(build(dualhead_config())),
    'recompute': lambda: Logits(build(dualhead_config() | dict(recompute=True))),
    'MS-G3D': lambda: Logits(build(msg3d_config())),
    'CTR-GCN': lambda: Logits(build(ctrgcn_config())),
    'plain equations': ReferenceNetwork,
}


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Autocast does not know the device."""
    monkeypatch.setattr(torch, 'is_autocast_enabled', lambda *_: False)
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())


def clips() -> torch.Tensor:
    return torch.zeros(2, 2, 12, 25, 3, device='meta')


@pytest.mark.parametrize('name', NETWORKS)
def test_trains_where_it_is(name):
    network: nn.Module = NETWORKS[name]().to('meta').train()
    torch.cat(network(clips()), 1).sum().backward()
    assert {p.grad.device.type for p in network.parameters() if p.grad is not None} == {'meta'}
    assert all(logits.is_meta for logits in network.eval()(clips()))


@pytest.mark.parametrize('config', [dualhead_config, msg3d_config, ctrgcn_config])
def test_a_fused_network(config, monkeypatch):
    monkeypatch.setattr(
        FusedRecognizer, '_clip_features', FusedRecognizer._all_persons
    )  # who is there is unknown
    network = Logits(fuse(build(config()))).to('meta')
    assert all(logits.is_meta for logits in network(clips()))

"""Deviations of the networks from the numbers of the authors' code, in float64, on any device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdualhead.models.authors import convert_authors

from .candidates import make_network
from .reference import FIXTURES, authors_shapes, fill, fixture_input

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NETWORKS = {
    'dualhead_ntu60': ('dualhead_ntu60_xsub_j.py', 64),
    'dualhead_kinetics': ('dualhead_kinetics_j.py', 60),
    'msg3d_ntu60': ('msg3d_ntu60_xsub_j.py', 64),
}
"""Config and frames of the clips, by fixture."""


def deviations_by_fixture(device: str) -> dict[str, float]:
    """The largest deviation of each fixture's network on a device, as :func:`deviations` returns them."""
    largest = {}
    for name in NETWORKS:
        network = fixture_network(name)
        network.load_state_dict(convert_authors(fill(authors_shapes(name)))[1])
        largest[name] = float(np.max([*deviations(name, network, device).values()]))  # NaN if one of them is
    return largest


def fixture_network(name: str) -> nn.Module:
    """The recognizer of a fixture, with random weights."""
    return make_network(str(CONFIGS / NETWORKS[name][0]), {}).recognizer


def deviations(name: str, network: nn.Module, device: str = 'cpu') -> dict[str, float]:
    """Deviations of logits in eval mode, and of logits, losses and gradient norms in train mode.

    Args:
        name: of the fixture.
        network: with the authors' weights; changed in place.
        device: where it runs.

    Returns:
        The largest deviation in each array of the fixture, relative to the largest number in it. Biases and
        weights before a batch norm have gradients of zero, up to rounding, so that single norms cannot be
        compared.
    """
    expected = np.load(FIXTURES / f'{name}.npz')
    network = network.double().to(device)
    x = fixture_input(NETWORKS[name][1], network.backbone.input_shape[1])[:, None].to(device)
    labels = torch.from_numpy(expected['labels']).to(device)
    with torch.no_grad():
        found = {f'eval_{head}': scores for head, scores in _logits(network.eval(), x).items()}
    trained = _logits(network.train(), x)
    losses = {head: F.cross_entropy(scores, labels) for head, scores in trained.items()}
    network.zero_grad()
    torch.stack([*losses.values()]).sum().backward()
    found |= {f'train_{head}': scores for head, scores in trained.items()}
    found |= {f'train_loss_{head}': loss for head, loss in losses.items()}
    norms = _authors_gradient_norms(name, network)
    found['grad_norm_values'] = torch.stack([norms.pop(key) for key in expected['grad_norm_keys']])
    assert not norms
    assert found.keys() == {*expected.files} - {'labels', 'grad_norm_keys', 'x_checksum'}
    return {
        key: float(np.abs(value.detach().cpu().numpy() - expected[key]).max() / np.abs(expected[key]).max())
        for key, value in found.items()
    }


def _logits(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    if type(network).__name__ == 'RecognizerGCN':
        return {'cls': network(x, mode='tensor', stage='head')}
    (coarse, fine), rest = network(x, mode='tensor', stage='head')
    assert rest == {}
    return {'coarse': coarse, 'fine': fine}


def _authors_gradient_norms(name: str, network: nn.Module) -> dict[str, Tensor]:
    """Norms by the authors' keys: each of their entries is traced to its place by converting its index."""
    shapes = authors_shapes(name)
    keys = [key for key in shapes if not key.endswith(('running_mean', 'running_var', 'num_batches_tracked'))]
    numbered = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in shapes.items()}
    numbered |= {key: torch.full(shapes[key], i + 1.0, dtype=torch.float64) for i, key in enumerate(keys)}
    squares = torch.zeros(len(keys) + 1, dtype=torch.float64)
    places = convert_authors(numbered)[1]
    for ours, parameter in network.named_parameters():
        squares.index_add_(0, places[ours].long().flatten(), parameter.grad.square().flatten().cpu())
    return {key: squares[i + 1].sqrt() for i, key in enumerate(keys)}

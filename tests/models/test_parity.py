"""The networks against the numbers of the authors' programs, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from mmdualhead.models.authors import AuthorsKeysError, convert_authors
from tests.models.networks import FIXTURES, fixture_network
from tests.models.reference import PARITY, authors_shapes, fill, fixture_input

TOLERANCE = 1e-9


@pytest.fixture(scope='module', params=FIXTURES)
def fixture(request, tmp_path_factory):
    """Name, numbers, network with the authors' weights (through a file, as a user would), and input."""
    name = request.param
    layout_frames = FIXTURES[name][4]
    weights = fill(authors_shapes(name))
    file = tmp_path_factory.mktemp(name) / 'converted.pth'
    torch.save({'state_dict': convert_authors(weights)[1], 'meta': {}}, file)
    network = fixture_network(name)
    load_checkpoint(network, str(file), strict=True)
    x = fixture_input(layout_frames, network.backbone.input_shape[1])
    return name, np.load(PARITY / f'{name}.npz'), network.double(), x[:, None]


def logits(network: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    if type(network).__name__ == 'RecognizerGCN':
        return {'cls': network(x, mode='tensor', stage='head')}
    (coarse, fine), rest = network(x, mode='tensor', stage='head')
    assert rest == {}
    return {'coarse': coarse, 'fine': fine}


def assert_equal(found: torch.Tensor, expected: np.ndarray) -> None:
    error = np.abs(found.detach().numpy() - expected).max() / np.abs(expected).max()
    assert error < TOLERANCE


def test_logits_in_eval_mode(fixture):
    _, numbers, network, x = fixture
    with torch.no_grad():
        for head, scores in logits(network.eval(), x).items():
            assert_equal(scores, numbers[f'eval_{head}'])


def test_logits_losses_and_gradients_in_train_mode(fixture):
    name, numbers, network, x = fixture
    losses = []
    for head, scores in logits(network.train(), x).items():
        assert_equal(scores, numbers[f'train_{head}'])
        losses.append(F.cross_entropy(scores, torch.from_numpy(numbers['labels'])))
        assert_equal(losses[-1], numbers[f'train_loss_{head}'])
    network.zero_grad()
    sum(losses).backward()
    published = dict(zip(numbers['grad_norm_keys'], numbers['grad_norm_values'], strict=True))
    found = authors_gradient_norms(name, network)
    assert found.keys() == published.keys()
    # Biases and weights before a batch norm have gradients of zero, up to rounding.
    floor = 1e-9 * max(published.values())
    for key, norm in published.items():
        assert found[key] == pytest.approx(norm, rel=TOLERANCE, abs=floor), key


def authors_gradient_norms(name: str, network: nn.Module) -> dict[str, float]:
    """Norms by the authors' keys: each entry of theirs is followed to its place by converting its number."""
    shapes = authors_shapes(name)
    keys = [key for key in shapes if not key.endswith(('running_mean', 'running_var', 'num_batches_tracked'))]
    numbered = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in shapes.items()}
    numbered |= {key: torch.full(shapes[key], i + 1.0, dtype=torch.float64) for i, key in enumerate(keys)}
    squares = torch.zeros(len(keys) + 1, dtype=torch.float64)
    places = convert_authors(numbered)[1]
    for ours, parameter in network.named_parameters():
        squares.index_add_(0, places[ours].long().flatten(), parameter.grad.square().flatten())
    return {key: squares[i + 1].sqrt().item() for i, key in enumerate(keys)}


PARAMETERS = {'dualhead_ntu60': 3_015_253, 'dualhead_kinetics': 3_134_460, 'msg3d_ntu60': 3_194_595}


def test_number_of_parameters(fixture):
    name, _, network, _ = fixture
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


class TestConvertPublished:
    @pytest.fixture
    def weights(self):
        return {key: torch.zeros(shape) for key, shape in authors_shapes('dualhead_ntu60').items()}

    def test_names_the_network(self, weights):
        assert convert_authors(weights)[0] == 'dualhead'
        shapes = authors_shapes('msg3d_ntu60')
        assert convert_authors({key: torch.zeros(shape) for key, shape in shapes.items()})[0] == 'msg3d'

    def test_data_parallel_prefix(self, weights):
        prefixed = {f'module.{key}': value for key, value in weights.items()}
        assert convert_authors(prefixed)[1].keys() == convert_authors(weights)[1].keys()

    @pytest.mark.parametrize(
        'key',
        [
            'fc_fine.bias',
            'data_bn.running_var',
            'sgcn1.1.branches.3.3.conv.weight',
            'gcn3d1.gcn3d.0.out_bn.bias',
        ],
    )
    def test_a_missing_key_is_named(self, weights, key):
        del weights[key]
        with pytest.raises(AuthorsKeysError, match=rf'missing \(1\): {key}'):
            convert_authors(weights)

    def test_a_key_left_over_is_named(self, weights):
        weights['surplus.weight'] = torch.zeros(1)
        with pytest.raises(AuthorsKeysError, match=r'not known \(1\): surplus.weight'):
            convert_authors(weights)

    def test_a_foreign_file_is_refused(self):
        with pytest.raises(AuthorsKeysError, match=r'conv1\.weight'):
            convert_authors({'conv1.weight': torch.zeros(3, 3)})

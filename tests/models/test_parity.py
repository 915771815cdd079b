"""The networks against the numbers of the authors' programs, in float64."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint

from benchmarking.parity import NETWORKS, deviations, fixture_network
from benchmarking.reference import authors_shapes, fill
from mmdualhead.models.authors import AuthorsKeysError, convert_authors

TOLERANCE = 1e-9


@pytest.fixture(scope='module', params=NETWORKS)
def fixture(request, tmp_path_factory):
    """Name and network with the authors' weights, through a file, as a user would."""
    name = request.param
    file = tmp_path_factory.mktemp(name) / 'converted.pth'
    torch.save({'state_dict': convert_authors(fill(authors_shapes(name)))[1], 'meta': {}}, file)
    network = fixture_network(name)
    load_checkpoint(network, str(file), strict=True)
    return name, network


def test_logits_losses_and_gradients(fixture):
    for key, deviation in deviations(*fixture).items():
        assert deviation < TOLERANCE, key


PARAMETERS = {'dualhead_ntu60': 3_015_253, 'dualhead_kinetics': 3_134_460, 'msg3d_ntu60': 3_194_595}


def test_number_of_parameters(fixture):
    name, network = fixture
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

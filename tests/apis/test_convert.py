"""Published checkpoint files become ours, whole or not at all."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint

from benchmarking.parity import NETWORKS, fixture_network
from benchmarking.reference import Reference, authors_shapes, fill, fixture_input
from mmdualhead.apis.convert import convert_checkpoint
from mmdualhead.errors import UserError
from mmdualhead.models.authors import AuthorsKeysError
from tests.conftest import file_size_limit


@pytest.fixture
def weights():
    return fill(authors_shapes('dualhead_ntu60'), torch.float32)


@pytest.mark.parametrize('name', NETWORKS)
def test_the_result_loads_with_a_full_match(name, tmp_path):
    torch.save(fill(authors_shapes(name), torch.float32), tmp_path / 'theirs.pt')
    assert name.startswith(convert_checkpoint(tmp_path / 'theirs.pt', tmp_path / 'ours.pth'))
    network = fixture_network(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_checkpoint(network, str(tmp_path / 'ours.pth'), strict=True)
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert set(before) - set(changed) == {key for key in before if key.endswith('num_batches_tracked')}


class MMAction2(Reference):
    """MMAction2's projects/msg3d: other graphs, whose columns say where a joint's neighbors are."""

    def aggregate(self, _, graphs, x):
        y = torch.einsum('kvu,nctv->nkctu', graphs, x)
        return y.reshape(len(x), -1, *y.shape[3:])


@pytest.mark.parametrize('network', ['msg3d_ntu60'])
def test_mmaction2s_msg3d_computes_the_same(network, tmp_path):
    authors = fill(authors_shapes(network))
    theirs, graphs = {'backbone.A': torch.zeros(25, 25)}, {}
    for key, value in authors.items():
        if key.endswith('A_res'):
            nodes = value.shape[-1]
            name = f'backbone.{key.removesuffix("A_res")}'
            theirs[f'{name}A'] = torch.rand(len(value) // nodes, nodes, nodes, dtype=torch.float64) / nodes
            theirs[f'{name}PA'] = value.reshape(-1, nodes, nodes)
            graphs[key] = theirs[f'{name}A'] + theirs[f'{name}PA']
        else:
            theirs[f'cls_head.{key}' if key.startswith('fc.') else f'backbone.{key}'] = value
    torch.save({'state_dict': theirs}, tmp_path / 'theirs.pth')
    assert convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'ours.pth') == 'msg3d'

    ours = fixture_network(network).double().eval()
    load_checkpoint(ours, str(tmp_path / 'ours.pth'), strict=True)
    x = fixture_input(16, 25)
    with torch.no_grad():
        expected = MMAction2(authors | graphs, 'nturgb+d', 13, 6).msg3d(x)
        found = ours.cls_head(ours.backbone(x))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_mmaction2s_msg3d_of_other_joints(tmp_path):
    theirs = {'backbone.A': torch.zeros(5, 5), 'backbone.sgcn1.0.PA': torch.zeros(13, 5, 5)}
    torch.save({'state_dict': theirs}, tmp_path / 'theirs.pt')
    assert_refused(tmp_path, AuthorsKeysError, r'theirs.pt: no layout of MMAction2 has 5 joints')


def test_wrapped_state_dict(weights, tmp_path):
    torch.save({'epoch': 3, 'model_state_dict': weights}, tmp_path / 'theirs.pt')
    assert convert_checkpoint(tmp_path / 'theirs.pt', tmp_path / 'ours.pth') == 'dualhead'


def assert_refused(tmp_path, error, match):
    with pytest.raises(error, match=match):
        convert_checkpoint(tmp_path / 'theirs.pt', tmp_path / 'ours.pth')
    assert not (tmp_path / 'ours.pth').exists()


def test_a_missing_key_is_named_and_nothing_written(weights, tmp_path):
    del weights['embed_fine.bias']
    torch.save(weights, tmp_path / 'theirs.pt')
    assert_refused(tmp_path, AuthorsKeysError, r'theirs.pt.*missing \(1\): embed_fine.bias')


def test_a_wrong_shape_is_named(weights, tmp_path):
    weights['fc_coarse.weight'] = weights['fc_coarse.weight'][:, :7]
    torch.save(weights, tmp_path / 'theirs.pt')
    assert_refused(tmp_path, AuthorsKeysError, 'cls_head.linear.coarse.weight')


@pytest.mark.fault('conversion of a file with NaN', '-', 'refused, nothing is written')
def test_weights_that_are_not_finite(weights, tmp_path):
    weights['fc_coarse.bias'][0] = torch.nan
    torch.save(weights, tmp_path / 'theirs.pt')
    assert_refused(tmp_path, AuthorsKeysError, '1 weights are not finite')


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / 'theirs.pt').write_bytes(b'no checkpoint')
    assert_refused(tmp_path, UserError, 'theirs.pt')


@pytest.mark.parametrize(
    ('content', 'error', 'complaint'),
    [
        ({'lr': 0.1}, AuthorsKeysError, 'not weights: lr'),
        ({'model_state_dict': None}, AuthorsKeysError, 'not weights: a NoneType'),
        ({'state_dict': [1]}, UserError, 'its state_dict is a list'),
        ({'state_dict': {3: torch.ones(1)}}, UserError, 'has the key 3'),
        ({'state_dict': {}}, AuthorsKeysError, 'theirs.pt: '),
    ],
)
@pytest.mark.fault('conversion of a file without weights', '-', 'refused, nothing is written')
def test_something_else_than_weights(tmp_path, content, error, complaint):
    torch.save(content, tmp_path / 'theirs.pt')
    assert_refused(tmp_path, error, f'theirs.pt.*{complaint}|{complaint}')


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr('sys.argv', ['convert_checkpoint.py', *map(str, arguments)])
    runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'convert_checkpoint.py'), run_name='__main__')


@pytest.mark.fault(
    '`mmdualhead convert-checkpoint`: disk full, or the target is there',
    '-',
    'error; nothing is written',
)
def test_targets_that_can_t_be_written(weights, tmp_path, monkeypatch):
    torch.save(weights, tmp_path / 'theirs.pt')
    with pytest.raises(SystemExit, match=r'error: .*theirs\.pt already exists; name another file'):
        run_tool(monkeypatch, tmp_path / 'theirs.pt', tmp_path / 'theirs.pt')
    with (
        file_size_limit(100_000),
        pytest.raises(SystemExit, match=r'ours\.pth could not be written'),
    ):
        run_tool(monkeypatch, tmp_path / 'theirs.pt', tmp_path / 'ours.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['theirs.pt']

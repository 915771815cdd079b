"""CTR-GCN: the authors' numbers, their form of the network, and its block in DualHead-Net."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_checkpoint
from torch import Tensor, nn

from mmdualhead.apis.convert import convert_checkpoint
from mmdualhead.errors import UserError
from mmdualhead.models.authors import AuthorsKeysError, convert_authors
from mmdualhead.models.block import SkeletonGraph, recomputed
from mmdualhead.models.ctrgc import CTRGC, CTRGCBlock
from tests.models.ctrgcn import AuthorsCTRGCN
from tests.models.networks import build, ctrgcn_config, small_ctrgcn_config, small_dualhead_config

FIXTURE = Path(__file__).parent / 'fixtures' / 'ctrgcn_ntu60'
SHAPES = json.loads(FIXTURE.with_name('ctrgcn_ntu60.keys.json').read_text())
EXPECTED = np.load(FIXTURE.with_name('ctrgcn_ntu60.npz'))
SEED = 20211020
EXACT = dict(rtol=1e-9, atol=1e-9)
GRAPH = SkeletonGraph(layout=dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)]))


def drawn(key: str, shape: list[int]) -> np.ndarray:
    """A weight of the fixture, in double precision."""
    noise = np.random.RandomState((zlib.crc32(key.encode()) ^ SEED) & 0xFFFFFFFF).standard_normal(shape)
    if key.endswith('num_batches_tracked'):
        return np.zeros(shape)
    if key.endswith('running_var'):
        return 1 + 0.1 * np.abs(noise)
    if len(shape) == 1:
        return 1 + 0.1 * noise if key.endswith('.weight') else 0.1 * noise
    return noise / np.sqrt(np.prod(shape[1:]))


@pytest.fixture(scope='module')
def weights() -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.asarray(drawn(key, shape))) for key, shape in SHAPES.items()}


@pytest.fixture(scope='module')
def networks(weights, tmp_path_factory) -> tuple[nn.Module, nn.Module]:
    """The authors' form and ours, with the same weights; ours by way of the converted file."""
    authors, ours = AuthorsCTRGCN().double(), build(ctrgcn_config()).double()
    authors.load_state_dict(weights)
    folder = tmp_path_factory.mktemp('ctrgcn')
    torch.save({f'module.{key}': value for key, value in weights.items()}, folder / 'theirs.pt')
    assert convert_checkpoint(folder / 'theirs.pt', folder / 'ours.pth') == 'ctrgcn'
    load_checkpoint(ours, str(folder / 'ours.pth'), strict=True)
    return authors, ours


@pytest.fixture(scope='module')
def clips() -> Tensor:
    x = np.random.RandomState(SEED).standard_normal((2, 2, 64, 25, 3)).astype('float32')
    x[1, 1] = 0
    return torch.from_numpy(x).double()


def test_parameters(networks):
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [1_446_672] * 2


def test_logits_in_eval_mode(networks, clips):
    authors, ours = networks
    with torch.no_grad():
        for logits in (authors.eval()(clips), ours.eval()(clips[:, None], mode='tensor', stage='head')):
            torch.testing.assert_close(logits.numpy(), EXPECTED['eval_cls'], **EXACT)


def test_logits_losses_and_gradients_in_train_mode(networks, clips, weights):
    """The authors' norms of gradients, and every single gradient of their form."""
    authors, ours = networks
    labels = torch.from_numpy(EXPECTED['labels'])
    for network, run in (
        (authors, lambda: authors(clips)),
        (ours, lambda: ours(clips[:, None], mode='tensor', stage='head')),
    ):
        network.train().zero_grad()
        logits = run()
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        torch.testing.assert_close(logits.detach().numpy(), EXPECTED['train_cls'], **EXACT)
        torch.testing.assert_close(loss.item(), EXPECTED['train_loss_cls'].item(), **EXACT)
    theirs = {name: p.grad for name, p in authors.named_parameters()}
    norms = np.array([theirs[key].norm().item() for key in EXPECTED['grad_norm_keys']])
    np.testing.assert_allclose(norms, EXPECTED['grad_norm_values'], **EXACT)
    converted = convert_authors({**weights, **theirs})[1]
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    torch.testing.assert_close(gradients, {name: converted[name] for name in gradients}, **EXACT)


@pytest.mark.parametrize(
    'key', ['l3.gcn1.PA', 'l5.residual.conv.weight', 'l1.gcn1.convs.2.conv4.bias', 'fc.bias']
)
def test_a_missing_key_is_named(weights, key):
    with pytest.raises(AuthorsKeysError, match=rf'ctrgcn network; missing \(1\): {key}'):
        convert_authors({name: value for name, value in weights.items() if name != key})


def test_it_starts_as_the_skeleton_s_topology():
    """The scale of the refinement is zero, so that all channels and clips share the graph's subsets."""
    layer = CTRGC(16, 24, 2, GRAPH.directed)
    bases, coefficients = layer.topology(torch.randn(3, 16, 7, 5))
    topologies = torch.einsum('kde,nkevu->nkdvu', coefficients, bases)
    torch.testing.assert_close(
        topologies, torch.as_tensor(GRAPH.directed)[None, :, None].expand(3, 3, 24, 5, 5)
    )


def test_projections_start_as_the_authors():
    """Kaiming's fan-out is that of each projection, not of those merged with it."""
    layer = CTRGC(512, 256, 64, GRAPH.directed)
    for weight, fan_out in (
        (layer.topology.project.weight, 64),
        (layer.topology.weight, 256),
        (layer.weight, 256),
    ):
        assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert layer.norm.weight.unique().item() == pytest.approx(1e-6)


def test_recomputing_gives_the_same_step():
    x = torch.randn(3, 16, 9, 5, dtype=torch.float64)
    steps = []
    for recompute in (False, True):
        torch.manual_seed(0)
        block = CTRGCBlock(16, 24, GRAPH, stride=2, recompute=recompute).double()
        assert (block.run is recomputed) == recompute
        out = block(x)
        out.square().sum().backward()
        steps.append([out, *(p.grad for p in block.parameters()), *block.buffers()])
    torch.testing.assert_close(*steps)


@pytest.mark.parametrize('frames', [1, 8, 9])
@pytest.mark.parametrize('stride', [1, 2])
def test_frames_round_up_and_stay_contiguous(frames, stride):
    x = torch.randn(2, 16, frames, 5).contiguous(memory_format=torch.channels_last)
    y = CTRGCBlock(16, 16, GRAPH, stride=stride)(x)
    assert y.shape == (2, 16, -(-frames // stride), 5)
    if frames % stride == 0:
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_the_input_stays_as_it_is():
    x = torch.randn(2, 16, 8, 5)
    before = x.clone()
    CTRGCBlock(16, 16, GRAPH)(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


BLOCK = dict(type='CTRGCBlock')
BLOCKS = dict(backbone=dict(block=BLOCK), heads=dict(coarse=dict(block=BLOCK), fine=dict(block=BLOCK)))


@pytest.mark.parametrize(
    'parts', [BLOCKS, dict(heads=dict(fine=dict(block=BLOCK)))], ids=['all', 'fine head']
)
def test_the_block_in_dualhead_net(parts):
    model = build(small_dualhead_config(**parts))
    blocks = [module for module in model.modules() if isinstance(module, CTRGCBlock)]
    assert [block.shortcut is None for block in blocks] == [
        len(blocks) > 2 and i == 0 for i in range(len(blocks))
    ]
    logits, _ = model(torch.randn(2, 1, 2, 13, 5, 3), mode='tensor')
    sum(head.sin().sum() for head in logits).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


class Undirected:
    """A graph of one's own, without directions."""

    num_joints = 5


class Wrong(Undirected):
    directed = np.ones((3, 4, 4))


@pytest.mark.parametrize(
    ('graph', 'message'),
    [
        (Undirected(), "Undirected has no attribute 'directed'"),
        (Wrong(), r'Wrong.directed is \(3, 4, 4\); expected \(K, 5, 5\)'),
    ],
)
def test_a_graph_without_subsets_is_refused(graph, message):
    with pytest.raises(UserError, match=message):
        CTRGCBlock(16, 16, graph)


def test_channels_that_do_not_divide_into_branches_are_refused():
    with pytest.raises(UserError, match='18 channels do not divide into 4 branches'):
        CTRGCBlock(16, 18, GRAPH)


def test_half_precision_gives_nearly_the_same():
    model, x = build(small_ctrgcn_config()), torch.randn(4, 1, 2, 12, 5, 3)
    exact = model(x, mode='tensor', stage='head')
    with torch.autocast('cpu', torch.bfloat16):
        found = model(x, mode='tensor', stage='head')
    assert (found - exact).abs().max() < 0.05 * exact.abs().max()

"""What the network costs, counted instead of timed: MACs, saved bytes, kernels and copies.

N clips, M persons, T frames, V joints, C input and D output channels, K scales, W frames in a window.
"""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarking.counts import count_macs, count_saved_bytes
from benchmarking.reference import ReferenceNetwork
from mmdualhead.models.fused import fuse
from mmdualhead.models.layers import GraphConv
from mmdualhead.models.ops import batched, cpu
from tests.models.kernels import Kernels
from tests.models.networks import build, dualhead_config, small_dualhead_config

CONFIGS = Path(__file__).parents[2] / 'configs'
V = 25
NUM_CLASSES = 60
DILATION_BRANCHES = {'coarse': 2, 'fine': 4}
GCN_SCALES, G3D_SCALES = 9, 6


def halved(frames: int) -> int:
    return (frames + 1) // 2


def graph_conv(frames: int, c: int, d: int, scales: int, window: int = 1, stride: int = 1) -> int:
    """MACs of a graph convolution: mixing and graph in the order that needs fewer."""
    windows = -(-frames // stride)
    nodes = window * V
    if c < d:
        return windows * nodes * (scales * nodes * c + scales * c * d)
    return frames * V * c * scales * d + windows * nodes * nodes * scales * d


def ms_tcn(frames: int, c: int, d: int, branches: int, stride: int = 1, fused: bool = False) -> int:
    """MACs of MS-TCN, whose plain branch disappears into a projected residual in the fused model."""
    width, out = d // (branches + 2), -(-frames // stride)
    projected = c != d or stride > 1
    reduce = frames * c * width * (branches + 1)
    dilated = out * branches * width * width * 3
    plain = 0 if fused and projected else out * c * width
    return V * (reduce + dilated + plain + projected * out * c * d)


def stgc_block(frames: int, c: int, d: int, head: str, stride: int = 2, fused: bool = False) -> int:
    """MACs of an STGC block for one person."""
    branches, out = DILATION_BRANCHES[head], -(-frames // stride)
    mid = d if c == 3 else c
    macs = graph_conv(frames, c, mid, GCN_SCALES) + ms_tcn(frames, mid, d, branches, stride, fused)
    macs += 2 * ms_tcn(out, d, d, branches)
    for window in {'coarse': (3,), 'fine': (3, 5)}[head]:
        macs += graph_conv(frames, c, mid, G3D_SCALES, window, stride) + out * V * window * mid * d
    return macs


def dualhead(frames: int, persons: int = 2, fused: bool = False) -> int:
    """MACs of DualHead-Net for one clip."""
    coarse = fine = 0
    few, many = halved(frames), frames
    for c, d in ((96, 192), (192, 384)):
        fine += stgc_block(many, c // 2, d // 2, 'fine', fused=fused)
        many = halved(many)
        coarse += many * (d // 2) * 9 + stgc_block(few, c, d, 'coarse', fused=fused)
        few = halved(few)
        fine += V * d * V
    backbone = stgc_block(frames, 3, 96, 'fine', stride=1, fused=fused)
    stem = frames * V * 96 * 48
    return persons * (backbone + stem + coarse + fine) + (384 + 192) * NUM_CLASSES


@pytest.fixture(scope='module')
def model():
    return build(dualhead_config())


@pytest.fixture(scope='module')
def reference():
    return ReferenceNetwork()


@torch.no_grad()
def macs_of(model: nn.Module, frames: int) -> int:
    model.eval()
    return count_macs(lambda: model(torch.randn(1, 1, 2, frames, V, 3), mode='tensor'))


@pytest.mark.parametrize('frames', [9, 100])
def test_macs_are_those_of_a_hand_count(model, frames):
    assert macs_of(model, frames) == dualhead(frames)


@pytest.mark.parametrize('frames', [9, 100])
def test_macs_of_the_inference_form(model, frames):
    assert macs_of(fuse(model), frames) == dualhead(frames, fused=True)


@pytest.mark.parametrize('name', ['dualhead_ntu60_xsub_j', 'msg3d_ntu60_xsub_j'])
def test_mmaction2s_get_flops_counts_the_same(name):
    """But for batch norms, which it counts and we don't."""
    init_default_scope('mmaction')
    network = MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model).eval()
    network.forward = network.extract_feat  # as its tools/analysis_tools/get_flops.py does
    clip = torch.randn(1, 1, 2, 16, V, 3)
    counted = FlopAnalyzer(network, (clip,)).unsupported_ops_warnings(False).by_operator()
    with torch.no_grad():
        assert sum(counted.values()) - counted['batch_norm'] == count_macs(lambda: network(clip))


def test_totals_of_the_authors_of_eight_clips(model, reference):
    """Of the formulation and of the authors' program, 10^9."""
    with torch.no_grad():
        plain = count_macs(lambda: reference.eval()(torch.randn(1, 2, 100, V, 3)))
    assert 8 * plain / 1e9 == pytest.approx(50.7, abs=0.05)
    assert 8 * macs_of(model, 100) / 1e9 == pytest.approx(45.6, abs=0.05)


class TestSavedBytes:
    """At a quarter of the paper's frames, where activations already outweigh what a batch shares."""

    x = torch.randn(2, 2, 75, V, 3)

    def share(self, reference, **change) -> float:
        model = build(dualhead_config() | change).train()
        ours = count_saved_bytes(lambda: model(self.x[:, None], mode='tensor'), model)
        return ours / count_saved_bytes(lambda: reference.train()(self.x), reference)

    def test_train_form(self, reference):
        assert self.share(reference) <= 0.85

    def test_recomputing(self, reference):
        assert self.share(reference, recompute=True) <= 0.3


@torch.no_grad()
def kernels(network: nn.Module) -> Kernels:
    """In double precision, in which every processor uses the same library."""
    x = torch.randn(2, 1, 2, 16, V, 3, dtype=torch.float64)
    with Kernels() as found:
        copy.deepcopy(network).double().eval()(x, mode='tensor')
    return found


class TestKernels:
    persons = 4

    def test_two_products_a_person_and_graph_convolution(self, model):
        """The first block's graph convolutions are linear layers over all persons at once, and spatial
        attentions are one batched product.
        """
        found = kernels(model)
        first, *others = blocks(model)
        products = self.persons * sum(len(block.windowed) + 1 for block in others)
        assert found['mm'] == products + len(first.windowed) + 1
        assert found['bmm'] == products + len(model.attentions['spatial'])

    @pytest.mark.parametrize('fused', [False, True])
    def test_windows_and_feature_maps_change_their_layout_without_a_copy(self, model, fused):
        """But for the few coordinates that the first block's graphs gather."""
        found = kernels(fuse(model) if fused else model)
        copied = [shape for shape in found.copied if shape[0] == self.persons]
        gathered = [
            (window * V, 3 * scales) for window, scales in ((1, GCN_SCALES), (3, G3D_SCALES), (5, G3D_SCALES))
        ]
        assert copied == [(self.persons, 16, *shape) for shape in gathered]
        assert found['im2col'] == 0

    def test_fusing_leaves_the_norm_of_the_input(self, model):
        """Two norms of the first block are part of its mixing anyway."""
        norms = sum(isinstance(module, _BatchNorm) for module in model.modules())
        fused = fuse(model)
        assert kernels(model)['native_batch_norm'] == norms - 2
        assert kernels(fused)['native_batch_norm'] == 1
        assert kernels(fused)['convolution'] < kernels(model)['convolution']

    def test_the_adjacency_is_added_up_once_for_inference(self, model):
        convs = sum(isinstance(module, GraphConv) for module in model.modules())
        matrices = lambda found: [shape for shape in found.copied if len(shape) >= 4 and V in shape[:2]]  # noqa: E731
        assert len(matrices(kernels(model))) == convs - 1  # that of coordinates in single frames is in order
        assert not matrices(kernels(fuse(model)))


class TestOtherDevices:
    """The kernels of a GPU, run here: a train step of the whole network."""

    def step(self, device: ModuleType, clips: int, **backbone: int) -> tuple[Kernels, list[Tensor]]:
        torch.manual_seed(0)
        config = small_dualhead_config(backbone=backbone)
        model = build(config).double().train()
        x = torch.randn(32, 1, 2, 9, 5, 3, dtype=torch.float64)[:clips]
        with Kernels(device) as found:
            logits, _ = model(x, mode='tensor')
            sum(head.sin().sum() for head in logits).backward()
        return found, [*logits, *(p.grad for p in model.parameters()), *model.buffers()]

    def test_equal_those_of_a_cpu(self):
        results = [self.step(device, 2)[1] for device in (batched, cpu)]
        torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)

    def test_kernels_do_not_grow_with_the_batch(self):
        few, many = (self.step(batched, clips)[0] for clips in (2, 32))
        assert few.counts == many.counts

    def test_equal_with_little_memory(self, monkeypatch):
        monkeypatch.setattr(batched, 'BUDGET', batched.BUDGET)
        whole, expected = self.step(batched, 2)
        parts, found = self.step(batched, 2, window_memory=20_000)
        assert parts.counts.total() > whole.counts.total()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def blocks(model: nn.Module) -> list[nn.Module]:
    return [*model.backbone.blocks, *(block for head in model.heads.values() for block in head.blocks)]

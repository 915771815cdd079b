"""Layers: what parity does not see (the authors' networks fix channels, strides and windows)."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmdualhead.models.graph import disentangled_adjacency, joint_adjacency, window_adjacency
from mmdualhead.models.layers import MSG3D, MSTCN, NarrowMSG3D, graph_conv, mix, msg3d, normalized_mixing
from mmdualhead.skeletons import get_skeleton

CHAIN = joint_adjacency(get_skeleton(dict(joints=4, bones=[(1, 0), (2, 1), (3, 2)])))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('window', [1, 3])
@pytest.mark.parametrize('channels', [(2, 6), (6, 2)])
def test_graph_conv_is_the_sum_over_scales_and_nodes(channels, window, stride):
    """Both orders of mixing and aggregating, against unfolded windows."""
    in_channels, out_channels = channels
    adjacency = disentangled_adjacency(window_adjacency(CHAIN, window), 3)
    conv = graph_conv(in_channels, out_channels, adjacency, window, stride).double()
    torch.nn.init.normal_(conv.residual)
    x = torch.randn(2, in_channels, 7, 4, dtype=torch.float64)
    pad = (window - 1) // 2
    unfolded = torch.nn.functional.unfold(x, (window, 1), padding=(pad, 0), stride=(stride, 1))
    nodes = unfolded.view(2, in_channels, window, -1, 4).permute(0, 3, 1, 2, 4).flatten(3)
    expected = torch.einsum('kpq,kdc,ntcq->ntdp', conv.adjacency + conv.residual, conv.weight, nodes)
    expected = (expected + conv.bias[:, None]).unflatten(3, (window, 4)).transpose(3, 4).flatten(3)
    torch.testing.assert_close(conv(x).transpose(1, 2), expected)


def test_the_narrow_side_passes_the_graph():
    """Few coordinates: 2 * (V K V C + V K C D) a frame; many channels: 2 * (V C K D + V V K D)."""
    adjacency = disentangled_adjacency(CHAIN, 3)
    for in_channels, out_channels, per_frame in (
        (2, 8, 4 * 3 * 4 * 2 + 4 * 3 * 2 * 8),
        (8, 8, 4 * 8 * 3 * 8),
    ):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            graph_conv(in_channels, out_channels, adjacency)(torch.randn(1, in_channels, 5, 4))
        aggregate = 0 if in_channels < out_channels else 4 * 4 * 3 * out_channels
        assert counter.get_total_flops() == 2 * 5 * (per_frame + aggregate)


@pytest.mark.parametrize(('frames', 'strided'), [(1, 1), (8, 4), (9, 5)])
def test_odd_lengths_round_up(frames, strided):
    adjacency = disentangled_adjacency(window_adjacency(CHAIN, 3), 2)
    x = torch.randn(2, 6, frames, 4)
    assert MSG3D(6, 6, 8, adjacency, window=3, stride=2)(x).shape == (2, 8, strided, 4)
    assert MSTCN(6, 8, 2, dilations=(1, 2))(x).shape == (2, 8, strided, 4)


def test_feature_maps_keep_frames_contiguous():
    adjacency = disentangled_adjacency(window_adjacency(CHAIN, 3), 2)
    x = torch.randn(2, 6, 8, 4).contiguous(memory_format=torch.channels_last)
    for layer in (MSG3D(6, 6, 8, adjacency, 3, 1), MSTCN(6, 8, 1, (1, 2))):
        assert layer(x).is_contiguous(memory_format=torch.channels_last)


class TestNarrowPathway:
    """Norms taken from the moments of what the graph gathers: as if the norm had been called."""

    def pathway(self) -> NarrowMSG3D:
        adjacency = disentangled_adjacency(window_adjacency(CHAIN, 3), 2)
        narrow = msg3d(2, 6, 8, adjacency, window=3, stride=1).double()
        assert type(narrow) is NarrowMSG3D
        for parameter in narrow.parameters():
            torch.nn.init.normal_(parameter)
        return narrow

    @pytest.mark.parametrize('training', [True, False])
    @pytest.mark.parametrize('momentum', [0.1, None])
    def test_equals_the_plain_order(self, training, momentum):
        narrow = self.pathway().train(training)
        narrow.norm.momentum = momentum
        plain = copy.deepcopy(narrow)
        x = torch.randn(3, 2, 7, 4, dtype=torch.float64) + 5
        for _ in range(2):  # the second time with the statistics that the first has left
            found, expected = narrow(x), MSG3D.forward(plain, x)
            torch.testing.assert_close(found, expected)
        for layer, out in ((narrow, found), (plain, expected)):
            out.sin().sum().backward()
            assert layer.conv.bias.grad is not None
        torch.testing.assert_close(dict(narrow.named_buffers()), dict(plain.named_buffers()))
        for ours, theirs in zip(narrow.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)

    def test_takes_no_clips(self):
        assert self.pathway().eval()(torch.zeros(0, 2, 7, 4, dtype=torch.float64)).shape == (0, 8, 7, 4)

    @pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
    def test_moments_keep_their_precision_under_autocast(self, half):
        """The sum of these values' squares is more than fp16 can hold."""
        x = torch.randn(3, 7, 4, 2) + 100
        weight, bias, exact = torch.randn(6, 2), torch.randn(6), torch.nn.BatchNorm2d(6)
        found = copy.deepcopy(exact)
        normalized_mixing(x, weight, bias, exact)
        with torch.autocast('cpu', half):
            normalized_mixing(x, weight, bias, found)
        torch.testing.assert_close(found.running_var, exact.running_var)


def test_cumulative_statistics():
    """``momentum=None`` averages over all batches, each of which counts as much as the others."""
    weight, bias = torch.randn(6, 2), torch.randn(6)
    found, exact = torch.nn.BatchNorm2d(6, momentum=None), torch.nn.BatchNorm2d(6, momentum=None)
    for _ in range(3):
        x = torch.randn(3, 7, 4, 2)
        normalized_mixing(x, weight, bias, found)
        exact(mix(x, weight, bias))
    torch.testing.assert_close(dict(found.named_buffers()), dict(exact.named_buffers()))


def test_foreign_norms_are_refused():
    """mmcv's synchronized norm, for one, looks like PyTorch's but is not related to it."""
    norm = torch.nn.Module()
    with pytest.raises(TypeError, match="sync_bn='torch'"):
        normalized_mixing(torch.randn(3, 7, 4, 2), torch.randn(6, 2), torch.randn(6), norm)


def test_synchronized_norms_take_the_moments_of_all_workers(tmp_path):
    """Two processes with one and three clips learn what one learns from the four, and tell both gradients."""
    x, weight, bias = torch.randn(4, 3, 5, 2), torch.randn(6, 2), torch.randn(6)
    whole = torch.nn.BatchNorm2d(6)
    expected = normalized_mixing(x.requires_grad_(), weight, bias, whole)
    sum(t.sin().sum() for t in expected).backward()
    expected, grads, x = [t.detach() for t in expected], 2 * x.grad, x.detach()
    # Not forks, which would wait for OpenMP's threads forever.
    mp.spawn(_normalize_a_part, (x, weight, bias, tmp_path), nprocs=2)
    for rank, grad in enumerate((grads[:1], grads[1:])):
        found = torch.load(tmp_path / f'{rank}.pt')
        torch.testing.assert_close(found, [*expected, whole.running_mean, whole.running_var, grad])


def _normalize_a_part(rank: int, x: Tensor, weight: Tensor, bias: Tensor, folder: Path) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    norm = torch.nn.SyncBatchNorm(6)
    part = (x[:1] if rank == 0 else x[1:]).requires_grad_()
    folded = normalized_mixing(part, weight, bias, norm)
    sum(t.sin().sum() for t in folded).backward()
    found = (*folded, norm.running_mean, norm.running_var, part.grad)
    torch.save([t.detach() for t in found], folder / f'{rank}.pt')
    dist.destroy_process_group()


def test_branches_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match='16 channels do not divide into 6 branches'):
        MSTCN(16, 16, 1, (1, 2, 3, 4))


def test_graph_convolutions_start_at_the_skeleton():
    """The learned adjacency starts at U(-1e-6, 1e-6), mixing at U(-b, b) with b = 1 / sqrt(K C)."""
    conv = graph_conv(50, 100, disentangled_adjacency(CHAIN, 3))
    assert -1e-6 <= conv.residual.min() < -0.5e-6
    assert 0.5e-6 < conv.residual.max() <= 1e-6
    for parameter in (conv.weight, conv.bias):
        assert 0.9 < parameter.abs().max() * 150**0.5 <= 1
        assert abs(parameter.mean()) * 150**0.5 < 0.2


def test_merged_branches_start_like_branches_of_their_own():
    """Kaiming's fan-out counts one branch's channels, not those of the merged convolution."""
    tcn = MSTCN(600, 600, 1, (1, 2, 3, 4))
    for conv, fan_out in ((tcn.reduce, 100), (tcn.plain, 100), (tcn.dilated[0], 300)):
        assert conv.weight.std().item() == pytest.approx(np.sqrt(2 / fan_out), rel=0.02)
    for norm in (tcn.reduce_norm, tcn.norm):
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_temporal_kernels_see_their_dilation():
    """A change in frame 8 reaches 4 frames to either side, through the widest branch."""
    tcn = MSTCN(12, 12, 1, (1, 2, 3, 4), activate=False).eval()
    x = torch.randn(1, 12, 17, 2)
    changed = x.clone()
    changed[:, :, 8] += 1
    reached = (tcn(changed) - tcn(x)).abs().amax((0, 1, 3)) > 1e-6
    assert reached.nonzero().flatten().tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]

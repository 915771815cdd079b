"""Layers: what parity does not see (the published networks fix channels, strides and windows)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmdualhead.models.graph import disentangled_adjacency, joint_adjacency, window_adjacency
from mmdualhead.models.layers import MSG3D, MSTCN, GraphConv
from mmdualhead.skeletons import get_skeleton

CHAIN = joint_adjacency(get_skeleton(dict(joints=4, bones=[(1, 0), (2, 1), (3, 2)])))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('window', [1, 3])
@pytest.mark.parametrize('channels', [(2, 6), (6, 2)])
def test_graph_conv_is_the_sum_over_scales_and_nodes(channels, window, stride):
    """Both orders of mixing and aggregating, against unfolded windows."""
    in_channels, out_channels = channels
    adjacency = disentangled_adjacency(window_adjacency(CHAIN, window), 3)
    conv = GraphConv(in_channels, out_channels, adjacency, window, stride).double()
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
            GraphConv(in_channels, out_channels, adjacency)(torch.randn(1, in_channels, 5, 4))
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


def test_branches_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match='16 channels do not divide into 6 branches'):
        MSTCN(16, 16, 1, (1, 2, 3, 4))


def test_merged_branches_start_like_branches_of_their_own():
    """Kaiming's fan-out counts one branch's channels, not those of the merged convolution."""
    tcn = MSTCN(600, 600, 1, (1, 2, 3, 4))
    for conv, fan_out in ((tcn.reduce, 100), (tcn.plain, 100), (tcn.dilated[0], 300)):
        assert conv.weight.std().item() == pytest.approx(np.sqrt(2 / fan_out), rel=0.02)


def test_temporal_kernels_see_their_dilation():
    """A change in frame 8 reaches 4 frames to either side, through the widest branch."""
    tcn = MSTCN(12, 12, 1, (1, 2, 3, 4), activate=False).eval()
    x = torch.randn(1, 12, 17, 2)
    changed = x.clone()
    changed[:, :, 8] += 1
    reached = (tcn(changed) - tcn(x)).abs().amax((0, 1, 3)) > 1e-6
    assert reached.nonzero().flatten().tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]

"""Attention between heads: formulas, start values, and what is weighed by what."""

from __future__ import annotations

import pytest
import torch

from mmdualhead.models.attention import SpatialAttention, TemporalAttention

X, SOURCE = torch.randn(2, 6, 8, 5), torch.randn(2, 4, 8, 5)


def test_temporal_attention_starts_at_one_half():
    torch.testing.assert_close(TemporalAttention(4)(X, SOURCE), 1.5 * X)


def test_temporal_attention_is_one_value_per_frame():
    attention = TemporalAttention(4)
    torch.nn.init.normal_(attention.conv.weight)
    ratio = attention(X, SOURCE) / X
    torch.testing.assert_close(ratio, 1 + attention.mask(SOURCE)[..., None].expand_as(X))
    assert ratio.std(2).min() > 0


def test_spatial_attention_is_one_value_per_joint():
    attention = SpatialAttention(4, 5)
    ratio = attention(X, SOURCE) / X
    torch.testing.assert_close(ratio, 1 + attention.mask(SOURCE)[:, :, None].expand_as(X))
    assert ratio.std(3).min() > 0


@pytest.mark.parametrize('kernel', [1, 3, 5, 7])
@pytest.mark.parametrize('joints', [1, 5, 6])
def test_spatial_attention_is_a_convolution_over_joints(joints, kernel):
    attention = SpatialAttention(4, joints, kernel).double()
    source = torch.randn(2, 4, 8, joints, dtype=torch.float64)
    torch.nn.init.normal_(attention.conv.bias)
    expected = attention.conv(source.mean(2)).sigmoid()
    torch.testing.assert_close(attention.mask(source), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(('num_joints', 'kernel'), [(25, 25), (18, 17), (20, 19)])
def test_the_spatial_kernel_is_odd(num_joints, kernel):
    assert SpatialAttention(4, num_joints).conv.kernel_size == (kernel,)
    with pytest.raises(ValueError, match='kernel_size 4 must be odd'):
        SpatialAttention(4, num_joints, kernel_size=4)


@pytest.mark.parametrize('frames', [4, 16])
def test_heads_of_other_length_take_the_weight_of_the_same_moment(frames):
    attention = TemporalAttention(4, kernel_size=1)
    torch.nn.init.normal_(attention.conv.weight)
    x = torch.ones(2, 6, frames, 5)
    same = attention(torch.ones(2, 6, 8, 5), SOURCE)
    moments = torch.arange(frames) * 8 // frames
    torch.testing.assert_close(attention(x, SOURCE), same[:, :, moments])

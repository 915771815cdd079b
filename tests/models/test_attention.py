"""Cross-head attention: formulas, start values, and what is weighed by what."""

from __future__ import annotations

import pytest
import torch

from mmdualhead.models.attention import (
    SpatialCrossAttention,
    SpatialSelfAttention,
    TemporalCrossAttention,
    TemporalSelfAttention,
)

X, OTHER = torch.randn(2, 6, 8, 5), torch.randn(2, 4, 8, 5)


def test_temporal_attention_starts_at_one_half():
    torch.testing.assert_close(TemporalCrossAttention(6, 4, 5)(X, OTHER), 1.5 * X)


def test_temporal_attention_is_one_value_a_frame():
    attention = TemporalCrossAttention(6, 4, 5)
    torch.nn.init.normal_(attention.conv.weight)
    ratio = attention(X, OTHER) / X
    torch.testing.assert_close(ratio, ratio[:, :1, :, :1].expand_as(X))
    assert ratio.std(2).min() > 0


def test_spatial_attention_is_one_value_a_joint():
    ratio = SpatialCrossAttention(6, 4, 5)(X, OTHER) / X
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(X))
    assert ratio.std(3).min() > 0


@pytest.mark.parametrize(('num_joints', 'kernel'), [(25, 25), (18, 17), (20, 19)])
def test_the_spatial_kernel_is_odd(num_joints, kernel):
    assert SpatialCrossAttention(6, 4, num_joints).conv.kernel_size == (kernel,)


@pytest.mark.parametrize('frames', [4, 16])
def test_heads_of_other_length_take_the_weight_of_the_same_moment(frames):
    attention = TemporalCrossAttention(6, 4, 5, kernel_size=1)
    torch.nn.init.normal_(attention.conv.weight)
    x = torch.ones(2, 6, frames, 5)
    same = attention(torch.ones(2, 6, 8, 5), OTHER)
    moments = torch.arange(frames) * 8 // frames
    torch.testing.assert_close(attention(x, OTHER), same[:, :, moments])


@pytest.mark.parametrize('attention', [TemporalSelfAttention(6, 4, 5), SpatialSelfAttention(6, 4, 5)])
def test_self_learned_attention_does_not_listen(attention):
    torch.testing.assert_close(attention(X, OTHER), attention(X, torch.randn_like(OTHER)))
    assert attention.conv.in_channels == 6

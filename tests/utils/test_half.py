"""Which processors are fast at half precision."""

from __future__ import annotations

import platform

import pytest
import torch

from mmdualhead.utils.half import fast_half, slow_half

LIMITS = ('ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA')


@pytest.fixture
def processor(monkeypatch):
    """A function that makes a processor with the given instructions, as limited by the environment."""

    def make(*instructions, limit=None, variable=LIMITS[0]):
        for name in LIMITS:
            monkeypatch.delenv(name, raising=False)
        if limit:
            monkeypatch.setenv(variable, limit)
        monkeypatch.setattr(torch.cpu, '_is_amx_tile_supported', lambda: 'AMX' in instructions)
        monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: 'AVX512_BF16' in instructions)
        monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')

    return make


@pytest.mark.parametrize(
    ('instructions', 'limit', 'found'),
    [
        (('AMX', 'AVX512_BF16'), None, 'AMX'),
        (('AMX', 'AVX512_BF16'), 'AVX512_CORE_AMX', 'AMX'),
        (('AMX', 'AVX512_BF16'), 'avx512_core_bf16', 'AVX512_BF16'),
        (('AMX', 'AVX512_BF16'), 'AVX512_CORE', None),
        (('AVX512_BF16',), 'ALL', 'AVX512_BF16'),
        (('AVX512_BF16',), 'AVX2', None),
        ((), None, None),
    ],
)
@pytest.mark.parametrize('variable', LIMITS)
def test_what_onednn_may_use(processor, instructions, limit, found, variable):
    processor(*instructions, limit=limit, variable=variable)
    assert fast_half() == found
    assert (slow_half('cpu') is None) == (found is not None)


def test_the_reason_is_given(processor):
    processor()
    assert 'has no instructions for bfloat16' in slow_half('cpu')
    assert 'times as long' in slow_half('cpu')


def test_nothing_is_said_of_what_was_not_measured(processor, monkeypatch):
    processor()
    assert slow_half('cuda') is None
    monkeypatch.setattr(platform, 'machine', lambda: 'aarch64')
    assert slow_half('cpu') is None

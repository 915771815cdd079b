"""Which processors are fast at half precision (bfloat16)."""

from __future__ import annotations

import os
import platform

import torch

BEFORE_BF16 = ('SSE41', 'AVX', 'AVX2', 'AVX2_VNNI', 'AVX512_CORE', 'AVX512_CORE_VNNI')
"""The values of ONEDNN_MAX_CPU_ISA that keep oneDNN from the instructions for bfloat16."""

TIMES_AS_SLOW = {'AVX512': 2, 'AVX2': 13}
"""The packaged model in bfloat16, compared with float32, by what oneDNN may use; see docs/speed.md."""


def fast_half() -> str | None:
    """The instructions by which oneDNN multiplies bfloat16 faster than float32; None if there are none."""
    limit = (os.environ.get('ONEDNN_MAX_CPU_ISA') or os.environ.get('DNNL_MAX_CPU_ISA') or '').upper()
    if limit in BEFORE_BF16:
        return None
    if _supports('amx_tile') and limit not in ('AVX512_CORE_BF16', 'AVX512_CORE_FP16'):
        return 'AMX'
    return 'AVX512_BF16' if _supports('avx512_bf16') else None


def slow_half(device: str | torch.device) -> str | None:
    """Why half precision is slow on a device; None if it is not, or if nothing is known of the device."""
    if torch.device(device).type != 'cpu' or platform.machine() not in ('x86_64', 'AMD64') or fast_half():
        return None
    if not hasattr(torch.cpu, '_is_avx512_bf16_supported'):  # an older PyTorch, which does not say
        return None
    has_mkldnn = torch.backends.mkldnn.is_available()
    limit = 'AVX512' if has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else 'AVX2'
    return (
        f'this processor ({limit}) has no instructions for bfloat16 (AVX512_BF16 or AMX) that oneDNN may '
        f'use: the packaged model takes about {TIMES_AS_SLOW[limit]} times as long in it as in float32'
    )


def _supports(instructions: str) -> bool:
    return getattr(torch.cpu, f'_is_{instructions}_supported', bool)()

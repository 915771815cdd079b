"""Calls that are timed against each other."""

from functools import partial

import pytest
import torch

from benchmarking.timing import time_interleaved


def test_rounds_are_interleaved_and_warm_up_does_not_count():
    order = []
    calls = {name: partial(order.append, name) for name in 'ABC'}
    seconds = time_interleaved(calls, repeats=2, warmup=1)
    assert ''.join(order) == 'ABCABCABC'
    assert [len(samples) for samples in seconds.values()] == [2, 2, 2]


def test_what_does_not_fit_the_gpu_drops_out():
    def too_large():
        raise torch.cuda.OutOfMemoryError

    assert list(time_interleaved(dict(large=too_large, small=lambda: None), 2, 1)) == ['small']


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        time_interleaved(dict(wrong=lambda: 1 / 0), 2, 1)

"""Taking turns, and what is made of the times; no real clock takes part."""

from __future__ import annotations

import pytest
import torch

from mmdualhead.apis.benchmarking.timing import Timing, ratios, spread, take_turns, wall_clock


class Stopwatch:
    """Every call takes one second more than the one before."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self, call) -> float:
        call()
        self.now += 1
        return float(self.now)


def test_rounds_are_interleaved_and_warm_up_does_not_count():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in 'ABC'}
    timings = take_turns(calls, repeats=2, warmup=1, clock=Stopwatch())
    assert ''.join(order) == 'ABCABCABC'
    assert timings == {'A': Timing((4.0, 7.0)), 'B': Timing((5.0, 8.0)), 'C': Timing((6.0, 9.0))}


def test_what_does_not_fit_the_gpu_drops_out():
    def too_large():
        raise torch.cuda.OutOfMemoryError

    timings = take_turns(dict(large=too_large, small=lambda: None), repeats=2, warmup=0, clock=Stopwatch())
    assert list(timings) == ['small']


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        take_turns(dict(wrong=lambda: 1 / 0), repeats=1, warmup=0, clock=wall_clock)


def test_median_and_quartiles():
    timing = Timing((5.0, 1.0, 2.0, 4.0, 3.0))
    assert (timing.median, timing.quartiles) == (3.0, (2.0, 4.0))
    assert Timing((1.0,)).quartiles == (1.0, 1.0)


def test_ratios_say_how_many_times_as_fast():
    timings = dict(slow=Timing((6.0,)), fast=Timing((1.0, 2.0, 9.0)))
    assert ratios(timings, 'slow') == dict(slow=1.0, fast=3.0)


def test_spread_for_people():
    assert spread(Timing((0.001, 0.002, 0.003))) == '2.00 (1.50–2.50)'
    assert spread(Timing((1.5,))) == '1500 (1500–1500)'

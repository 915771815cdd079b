"""Counts are checked against sums that a reader can do by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarking.counts import count_macs, count_parameters, count_saved_bytes
from mmdualhead.models.ops import window_product

A = torch.randn(2, 3, 4)
B = torch.randn(2, 4, 5)
X = torch.randn(2, 6, 10, 5)
PRODUCTS = {
    'matmul': (lambda: A @ B, 2 * 3 * 4 * 5),
    'einsum': (lambda: torch.einsum('bij,bjk->bik', A, B), 2 * 3 * 4 * 5),
    'linear': (lambda: F.linear(A, torch.randn(7, 4), torch.randn(7)), 2 * 3 * 4 * 7),
    'bmm into a buffer': (lambda: torch.bmm(A, B, out=torch.empty(2, 3, 5)), 2 * 3 * 4 * 5),
    'mm into a buffer': (lambda: torch.mm(A[0], B[0], out=torch.empty(3, 5)), 3 * 4 * 5),
    'convolution': (lambda: F.conv2d(X, torch.randn(8, 6, 3, 1), padding=(1, 0)), 2 * 50 * 6 * 8 * 3),
    'grouped convolution': (lambda: F.conv2d(X, torch.randn(6, 1, 1, 1), groups=6), 2 * 50 * 6),
    'strided convolution': (lambda: F.conv2d(X, torch.randn(8, 6, 1, 1), stride=(2, 1)), 2 * 25 * 6 * 8),
    'no product': (lambda: (A + 1).relu() * 2, 0),
}


@pytest.mark.parametrize('name', PRODUCTS)
def test_macs_of_products(name):
    call, expected = PRODUCTS[name]
    assert count_macs(call) == expected


@pytest.mark.parametrize(('window', 'stride'), [(1, 1), (3, 2), (5, 1)])
def test_macs_of_the_window_product(window, stride):
    n, t, v, c, k, d = 2, 12, 5, 6, 3, 4
    x = torch.randn(n, c, t, v)
    matrix = torch.randn(v * window, window * v * k)
    mixing = n * t * v * c * k * d
    gathering = n * -(-t // stride) * (v * window) * (window * v * k) * d
    macs = count_macs(lambda: window_product(x, torch.randn(k, d, c), torch.randn(d), matrix, stride))
    assert macs == mixing + gathering


def test_parameters_are_what_training_changes():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    network[0].bias.requires_grad_(False)
    assert count_parameters(network) == 3 * 4 + 2 * 4


class TestSavedBytes:
    x = torch.randn(10, 3)

    def test_every_storage_counts_once_and_whole(self):
        y = torch.randn(10, 3, requires_grad=True)
        views = lambda: y[:5] * y[5:] * y[:5]  # noqa: E731
        product = 5 * 3 * 4
        assert count_saved_bytes(views, nn.Identity()) == y.numel() * 4 + product

    def test_parameters_and_buffers_are_left_out(self):
        network = nn.Linear(3, 4)
        assert count_saved_bytes(lambda: network(self.x), network) == self.x.numel() * 4

    def test_nothing_is_saved_without_gradients(self):
        network = nn.Linear(3, 4)
        with torch.no_grad():
            assert count_saved_bytes(lambda: network(self.x), network) == 0

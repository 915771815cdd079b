"""The window product against its formula, and its own backward against numerical differences."""

from __future__ import annotations

import pytest
import torch

from mmdualhead.models.ops import window_product

N, T, V, K, C, D = 2, 7, 4, 2, 3, 5
WINDOWS = [(1, 1), (3, 1), (3, 2), (5, 2), (5, 3)]


def arguments(window: int) -> list[torch.Tensor]:
    shapes = ((N, T, V, C), (K, D, C), (D,), (V * window, window * V * K))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(('window', 'stride'), WINDOWS)
def test_formula(window, stride):
    x, weight, bias, matrix = arguments(window)
    pad = (window - 1) // 2
    mixed = torch.einsum('kdc,ntuc->ntukd', weight, x)
    a = matrix.view(V, window, window, V, K)  # v, i, j, u, k
    count = (T - 1) // stride + 1
    expected = bias.expand(N, count, V, window, D).clone()
    for t in range(count):
        for j in range(window):
            frame = stride * t + j - pad
            if 0 <= frame < T:
                expected[:, t] += torch.einsum('viuk,nukd->nvid', a[:, :, j], mixed[:, frame])
    found = window_product(x, weight, bias, matrix, stride)
    torch.testing.assert_close(found, expected.flatten(2, 3))


@pytest.mark.parametrize(('window', 'stride'), WINDOWS)
def test_backward(window, stride):
    assert torch.autograd.gradcheck(lambda *a: window_product(*a, stride), arguments(window))


def test_only_the_arguments_are_saved_for_the_backward():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        window_product(*arguments(3), 1)
    assert sum(t.numel() for t in saved) == sum(t.numel() for t in arguments(3)) - D


def test_no_bodies():
    x, weight, bias, matrix = arguments(3)
    assert window_product(x[:0], weight, bias, matrix, 2).shape == (0, 4, V * 3, D)


def test_autocast_computes_in_half_precision_and_sums_gradients_in_single():
    args = [a.detach().float().requires_grad_() for a in arguments(3)]
    exact = window_product(*args, 1)
    exact_grads = torch.autograd.grad(exact.sum(), args)
    with torch.autocast('cpu', torch.bfloat16):
        found = window_product(*args, 1)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.05, atol=0.2)
    for grad, expected in zip(torch.autograd.grad(found.sum(), args), exact_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=0.05, atol=0.5)

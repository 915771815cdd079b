"""The network's operations against their formulas, with the kernels of every kind of device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmdualhead.models.ops import (
    batched,
    cpu,
    mix_and_collapse,
    onednn,
    products,
    set_budget,
    standard_operations,
    stretch,
    temporal_max_pool,
    topology_product,
    window_product,
)
from tests.models.kernels import Kernels

N, T, V, K, C, D, E, F = 3, 7, 4, 2, 3, 5, 2, 6
WINDOWS = [(1, 1), (1, 2), (3, 1), (3, 2), (3, 4), (5, 1), (5, 2), (5, 3)]
DEVICES = [cpu, batched]
EXACT = dict(rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def product_arguments(window: int, frames: int = T) -> list[Tensor]:
    return tensors((N, C, frames, V), (K, D, C), (D,), (V * window, window * V * K))


def collapse_arguments(window: int) -> list[Tensor]:
    return tensors((N, T, V * window, C), (F, C), (F,), (D, window * F), (D,))


def topology_arguments() -> list[Tensor]:
    return tensors((N, C, T, V), (K, D, C), (K, D), (N, K, E, V, V), (K, D, E))


def plain_topologies(x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor) -> Tensor:
    mixed = torch.einsum('kdc,nctu->nkdtu', weight, x) + bias[:, :, None, None]
    topologies = torch.einsum('kde,nkevu->nkdvu', coefficients, bases)
    return torch.einsum('nkdvu,nkdtu->ndtv', topologies, mixed)


def plain_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    frames, window = x.shape[2], len(matrix) // V
    mixed = torch.einsum('kdc,nctu->ntukd', weight, x)
    a = matrix.view(V, window, window, V, K)  # v, i, j, u, k
    windows = []
    for t in range(0, frames, stride):
        places = [(j, t + j - (window - 1) // 2) for j in range(window)]
        inside = [(j, frame) for j, frame in places if 0 <= frame < frames]
        windows.append(
            sum(torch.einsum('viuk,nukd->nvid', a[:, :, j], mixed[:, frame]) for j, frame in inside)
        )
    return (torch.stack(windows, 1).flatten(2, 3) + bias).permute(0, 3, 1, 2)


def plain_collapse(x: Tensor, weight: Tensor, bias: Tensor, collapse: Tensor, shift: Tensor) -> Tensor:
    features = (x @ weight.t() + bias).relu().unflatten(2, (V, -1))
    return torch.einsum('ntvif,dif->ntvd', features, collapse.unflatten(1, (-1, F))) + shift


def assert_equal(found: Tensor, expected: Tensor, arguments: list[Tensor]) -> None:
    """Results and all gradients."""
    torch.testing.assert_close(found, expected, **EXACT)
    grads = [torch.autograd.grad(out.sin().sum(), arguments) for out in (found, expected)]
    torch.testing.assert_close(*grads, **EXACT)


@pytest.mark.parametrize('device', DEVICES)
class TestKernels:
    @pytest.mark.parametrize('frames', [T, T + 1, 1])
    @pytest.mark.parametrize(('window', 'stride'), WINDOWS)
    def test_window_product(self, window, stride, frames, device):
        arguments = product_arguments(window, frames)
        with Kernels(device):
            assert_equal(window_product(*arguments, stride), plain_product(*arguments, stride), arguments)

    @pytest.mark.parametrize('window', [1, 3])
    def test_mix_and_collapse(self, window, device):
        arguments = collapse_arguments(window)
        with Kernels(device):
            assert_equal(mix_and_collapse(*arguments), plain_collapse(*arguments), arguments)

    def test_topology_product(self, device):
        arguments = topology_arguments()
        with Kernels(device):
            assert_equal(topology_product(*arguments), plain_topologies(*arguments), arguments)

    def test_nothing_is_kept_without_gradients(self, device):
        arguments = topology_arguments()
        with torch.no_grad(), Kernels(device):
            torch.testing.assert_close(topology_product(*arguments), plain_topologies(*arguments), **EXACT)
            kept = torch.ops.mmdualhead.topology_product(*arguments, False)[1]
        assert kept.numel() == 0

    def test_no_persons(self, device):
        x, *others = product_arguments(3)
        y, *rest = collapse_arguments(3)
        z, weight, bias, bases, coefficients = topology_arguments()
        with Kernels(device):
            assert topology_product(z[:0], weight, bias, bases[:0], coefficients).shape == (0, D, T, V)
            assert window_product(x[:0], *others, 2).shape == (0, D, 4, V * 3)
            assert mix_and_collapse(y[:0], *rest).shape == (0, T, V, D)

    @pytest.mark.parametrize('window', [1, 3])
    @pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
    def test_autocast_keeps_sums_in_single_precision(self, half, window, device):
        """A gradient that sums 84,000 ones is exact; half precision would end at 256 or 65,504."""
        x, weight, bias, matrix = [torch.ones_like(a, dtype=torch.float32) for a in product_arguments(window)]
        x = x[:1].expand(1000, C, T, V)
        parameters = [a.requires_grad_() for a in (weight, bias, matrix)]
        with torch.autocast('cpu', half), Kernels(device):
            out = window_product(x, *parameters, 1)
        assert out.dtype is half
        assert out[0, :, 1].unique().item() == window * V * K * C + 1
        with Kernels(device):
            grads = torch.autograd.grad(out.sum(), parameters)
        assert [grad.dtype for grad in grads] == 3 * [torch.float32]
        assert grads[1].unique().item() == 1000 * T * V * window
        exact = torch.autograd.grad(plain_product(x, *parameters, 1).sum(), parameters)
        torch.testing.assert_close(grads, exact, rtol=0.02, atol=0)

    @pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
    def test_autocast_keeps_the_collapses_sums_in_single_precision(self, half, device):
        x, *parameters = [torch.ones_like(a, dtype=torch.float32) for a in collapse_arguments(3)]
        parameters = [a.requires_grad_() for a in parameters]
        with torch.autocast('cpu', half), Kernels(device):
            out = mix_and_collapse(x[:1].expand(3001, -1, -1, -1), *parameters)
        assert out.dtype is half
        with Kernels(device):
            grads = torch.autograd.grad(out.sum(), parameters)
        assert [grad.dtype for grad in grads] == 4 * [torch.float32]
        clips = 3001 * T * V
        expected = (clips * 3 * D, clips * 3 * D, clips * (C + 1), clips)
        assert [grad.unique().item() for grad in grads] == list(expected)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_topologies_sums_in_single_precision(half, device):
    """A gradient that sums 84,000 ones is exact; half precision would end at 256 or 65,504."""
    x, weight, bias, bases, coefficients = [
        torch.ones_like(a, dtype=torch.float32) for a in topology_arguments()
    ]
    x, bases = x[:1].expand(3000, -1, -1, -1), (bases / (V * K * E))[:1].expand(3000, -1, -1, -1, -1)
    parameters = [a.requires_grad_() for a in (weight, bias, coefficients)]
    with torch.autocast('cpu', half), Kernels(device):
        out = topology_product(x, weight, bias, bases, coefficients)
    assert out.dtype is half
    with Kernels(device):
        grads = torch.autograd.grad(out.sum(), parameters)
    assert [grad.dtype for grad in grads] == 3 * [torch.float32]
    exact = torch.autograd.grad(plain_topologies(x, weight, bias, bases, coefficients).sum(), parameters)
    torch.testing.assert_close(grads, exact, rtol=0.02, atol=0)


def test_standard_operations_of_topologies():
    arguments = topology_arguments()
    with standard_operations():
        assert_equal(topology_product(*arguments), plain_topologies(*arguments), arguments)


@pytest.mark.parametrize(('window', 'stride'), WINDOWS)
def test_standard_operations(window, stride):
    arguments = product_arguments(window)
    with standard_operations(), Kernels() as found:
        assert_equal(window_product(*arguments, stride), plain_product(*arguments, stride), arguments)
        assert found['convolution'] == 1
        arguments = collapse_arguments(window)
        assert_equal(mix_and_collapse(*arguments), plain_collapse(*arguments), arguments)


@pytest.mark.parametrize('mixed', [1, 2 << 20])
@pytest.mark.parametrize('frames', [T, T + 1, 1])
@pytest.mark.parametrize(('window', 'stride'), WINDOWS)
def test_window_product_by_large_products(window, stride, frames, mixed, monkeypatch):
    """One person at a time and all at once."""
    monkeypatch.setattr(products, 'CACHED', mixed)
    arguments = product_arguments(window, frames)
    with Kernels(onednn):
        assert_equal(window_product(*arguments, stride), plain_product(*arguments, stride), arguments)


class TestBatched:
    def kernels(self, persons: int) -> int:
        x, *others = product_arguments(5)
        y, *rest = collapse_arguments(5)
        with Kernels(batched) as found:
            window_product(x[:1].expand(persons, -1, -1, -1), *others, 2).sum().backward()
            mix_and_collapse(y[:1].expand(persons, -1, -1, -1), *rest).sum().backward()
        return found.counts.total()

    def test_kernels_do_not_grow_with_the_batch(self):
        assert self.kernels(4) == self.kernels(64)

    @pytest.mark.parametrize('budget', [1, 2 * 12 * V * K * D * 8])
    def test_a_budget_cuts_the_batch_into_chunks(self, budget, monkeypatch):
        monkeypatch.setattr(batched, 'BUDGET', batched.BUDGET)
        whole = self.kernels(4)
        set_budget(budget)
        assert self.kernels(4) > whole
        arguments, others = product_arguments(5), topology_arguments()
        with Kernels(batched):
            assert_equal(window_product(*arguments, 2), plain_product(*arguments, 2), arguments)
            assert_equal(topology_product(*others), plain_topologies(*others), others)

    def test_a_budget_is_positive(self):
        with pytest.raises(ValueError, match='0 bytes'):
            set_budget(0)


def test_only_the_arguments_are_saved_for_the_backward():
    for call, arguments in (
        (lambda *a: window_product(*a, 1), product_arguments(3)),
        (mix_and_collapse, collapse_arguments(3)),
    ):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):  # noqa: B023
            call(*arguments)
        assert sum(t.numel() for t in saved) == sum(t.numel() for t in arguments)


@pytest.mark.parametrize('stride', [1, 2])
def test_operations_are_well_formed(stride):
    """Schema, shapes for tracers and gradients, as PyTorch checks them."""
    for name, arguments in (
        ('window_product', (*product_arguments(3), stride)),
        ('mix_and_collapse', tuple(collapse_arguments(3))),
        ('topology_product', (*topology_arguments(), True)),
        ('topology_product', (*(argument.detach() for argument in topology_arguments()), False)),
    ):
        if stride == 2 and name != 'window_product':
            continue
        torch.library.opcheck(getattr(torch.ops.mmdualhead, name).default, arguments)


@pytest.mark.parametrize('window', [1, 3])
def test_flops_of_an_operation_are_those_of_its_kernel(window):
    for call in (
        lambda: window_product(*product_arguments(window), 1).sum().backward(),
        lambda: mix_and_collapse(*collapse_arguments(window)).sum().backward(),
        lambda: topology_product(*topology_arguments()).sum().backward(),
    ):
        with FlopCounterMode(display=False) as whole:
            call()
        with FlopCounterMode(display=False) as inside, Kernels():
            call()
        assert whole.get_total_flops() == inside.get_total_flops() > 0


@pytest.mark.parametrize(('length', 'frames'), [(1, 1), (4, 4), (4, 7), (13, 50), (25, 49), (7, 100)])
def test_stretching_is_interpolation(length, frames):
    mask, x = torch.rand(2, 1, length), torch.rand(2, 3, frames, 5)
    expected = stretch(mask, x)
    with standard_operations():
        torch.testing.assert_close(stretch(mask, x), expected, rtol=0, atol=0)


@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('length', [1, 2, 7, 12])
def test_the_pool_without_a_gradient_is_the_same(length, stride):
    x = torch.randn(2, 6, length, 5).to(memory_format=torch.channels_last)[:, 2:4]
    expected = temporal_max_pool(x, stride)
    with torch.no_grad():
        torch.testing.assert_close(temporal_max_pool(x, stride), expected, rtol=0, atol=0)

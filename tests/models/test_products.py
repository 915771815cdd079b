"""Matrix products by oneDNN, on every processor that PyTorch has it for, against double precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdualhead.models import ops
from mmdualhead.models.layers import PointwiseConv
from mmdualhead.models.ops import linear, products, standard_operations
from mmdualhead.models.ops.products import onednn_is_faster, product

M, K, N = 30, 20, 10
SINGLE = dict(rtol=1e-5, atol=1e-5)
"""Sums of 20 products of normal numbers in single precision."""


@pytest.fixture
def onednn_is_chosen(monkeypatch):
    """Whether or not it is faster here."""
    if not products._has_onednn():
        pytest.skip('PyTorch was built without oneDNN')
    for module in (products, ops):
        monkeypatch.setattr(module, 'onednn_is_faster', lambda dtype: dtype == torch.float32)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def ordered(shape: tuple[int, int], order: str) -> torch.Tensor:
    """A matrix with rows or columns in one piece, or neither."""
    if order == 'rows':
        return torch.randn(shape)
    if order == 'columns':
        return torch.randn(shape[::-1]).t()
    return torch.randn(shape[0], 2 * shape[1])[:, ::2]


@pytest.mark.usefixtures('onednn_is_chosen')
@pytest.mark.parametrize('shape', [(M, K, N), (N, K, M), (1, K, N), (M, 1, N), (M, K, 1), (1, 1, 1)])
@pytest.mark.parametrize('first', ['rows', 'columns', 'neither'])
@pytest.mark.parametrize('second', ['rows', 'columns', 'neither'])
def test_product(shape, first, second):
    m, k, n = shape
    a, b = ordered((m, k), first), ordered((k, n), second)
    expected = a.double() @ b.double()
    for bias in (None, torch.randn(n), torch.randn(m, 1)):
        total = expected if bias is None else expected + bias
        torch.testing.assert_close(product(a, b, bias).double(), total, **SINGLE)
        out = torch.empty(m, n)
        assert product(a, b, bias, out=out) is out
        torch.testing.assert_close(out.double(), total, **SINGLE)


@pytest.mark.usefixtures('onednn_is_chosen')
@pytest.mark.parametrize('has_bias', [False, True])
@pytest.mark.parametrize('order', ['rows', 'columns', 'neither'])
def test_gradients_of_a_linear_layer(has_bias, order):
    arguments = [ordered((M, K), order), torch.randn(N, K), *([torch.randn(N)] if has_bias else [])]
    single = [a.requires_grad_() for a in arguments]
    double = [a.detach().double().requires_grad_() for a in arguments]
    results = [linear(*single), nn.functional.linear(*double)]
    assert type(results[0].grad_fn).__name__ != 'AddmmBackward0'
    torch.testing.assert_close(results[0].double(), results[1], **SINGLE)
    grads = [torch.autograd.grad(y.sin().sum(), a) for y, a in zip(results, (single, double), strict=True)]
    torch.testing.assert_close([g.double() for g in grads[0]], list(grads[1]), **SINGLE)


@pytest.mark.usefixtures('onednn_is_chosen')
class TestPointwiseConv:
    x = torch.randn(3, K, 7, 5)

    @pytest.mark.parametrize('stride', [1, 2])
    @pytest.mark.parametrize('memory', [torch.contiguous_format, torch.channels_last])
    def test_is_a_convolution(self, stride, memory):
        conv = PointwiseConv(K, N)
        x = self.x.to(memory_format=memory)[:, :, ::stride].detach().requires_grad_()
        found, expected = conv(x), nn.Conv2d.forward(conv, x)
        torch.testing.assert_close(found, expected, **SINGLE)
        assert found.is_contiguous(memory_format=torch.channels_last)
        targets = [x, *conv.parameters()]
        grads = [torch.autograd.grad(y.sin().sum(), targets) for y in (found, expected)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)

    def test_no_clips(self):
        assert PointwiseConv(K, N)(self.x[:0]).shape == (0, N, 7, 5)

    def test_autocast_is_pytorchs(self):
        with torch.autocast('cpu', torch.bfloat16):
            assert PointwiseConv(K, N)(self.x).dtype is torch.bfloat16

    def test_standard_operations_are_pytorchs(self):
        with standard_operations():
            y = PointwiseConv(K, N)(self.x)
        assert y.grad_fn.name() == 'ConvolutionBackward0'

    @pytest.mark.parametrize(
        'change', [dict(size=(3, K + 1, 7, 5)), dict(size=(3, K, 7, 5), dtype=torch.float64)]
    )
    def test_other_inputs_get_pytorchs_error(self, change):
        x, conv = torch.zeros(**change), PointwiseConv(K, N)
        messages = []
        for call in (conv, lambda x: nn.Conv2d.forward(conv, x)):
            with pytest.raises(RuntimeError) as error:
                call(x)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


class TestChoice:
    @pytest.mark.parametrize(
        ('vendor', 'capability', 'expected'),
        [
            ('AuthenticAMD', 'AVX512', True),
            ('AuthenticAMD', 'AVX2', False),
            ('GenuineIntel', 'AVX512', False),
        ],
    )
    def test_processor(self, vendor, capability, expected, monkeypatch):
        monkeypatch.setattr(products, '_vendor', lambda: vendor)
        monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
        monkeypatch.setattr(torch.backends.mkl, 'is_available', lambda: True)
        monkeypatch.setattr(products, '_has_onednn', lambda: True)
        choose = onednn_is_faster.__wrapped__
        assert choose(torch.float32) is expected
        assert not any(choose(dtype) for dtype in (torch.float64, torch.bfloat16, torch.float16))

    @pytest.mark.parametrize(
        ('processor', 'vendor'),
        [('AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD', 'AuthenticAMD'), ('arm', 'arm'), ('', '')],
    )
    def test_vendor_on_other_systems(self, processor, vendor, monkeypatch, tmp_path):
        monkeypatch.setattr(products, 'CPUINFO', tmp_path / 'missing')
        monkeypatch.setattr(products.platform, 'processor', lambda: processor)
        assert products._vendor() == vendor

    @pytest.mark.parametrize(
        ('text', 'vendor'),
        [
            ('processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\n', 'AuthenticAMD'),
            ('processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\n', ''),
        ],
    )
    def test_vendor_on_linux(self, text, vendor, monkeypatch, tmp_path):
        monkeypatch.setattr(products, 'CPUINFO', tmp_path / 'cpuinfo')
        products.CPUINFO.write_text(text)
        assert products._vendor() == vendor

"""The fused model answers like the model, faster, and never for old weights."""

from __future__ import annotations

import copy

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdualhead.models.attention import SpatialAttention
from mmdualhead.models.fused import can_fuse, fuse
from tests.models.networks import build, msg3d_config, small_ctrgcn_config, small_dualhead_config

RELATIVE = 1e-5


def trained(config: dict) -> nn.Module:
    """A model whose batch norms and residual adjacencies are far from their start values."""
    model = build(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('running_var'):
                tensor.uniform_(0.5, 2)
            elif ('norm' in name and tensor.is_floating_point()) or name.endswith(('residual', 'alpha')):
                tensor.add_(0.1 * torch.randn_like(tensor))
                tensor[..., 0] *= -1  # a max pool does not commute with a negative scale
    return model.eval()


def small_msg3d_config() -> dict:
    config = msg3d_config(dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)]), 3, 2, num_classes=7)
    config['backbone'] |= dict(channels=(12, 24), strides=(1, 2))
    config['cls_head'] |= dict(in_channels=24)
    return config


@pytest.fixture(
    params=[small_dualhead_config, small_msg3d_config, small_ctrgcn_config],
    ids=['dualhead', 'msg3d', 'ctrgcn'],
)
def model(request):
    return trained(request.param())


def clips(empty: list[tuple[int, int]] = ()) -> torch.Tensor:
    x = torch.randn(3, 1, 2, 13, 5, 3)
    for n, m in empty:
        x[n, :, m] = 0
    return x


@torch.no_grad()
def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    out = model(x, mode='tensor', stage='head')
    return torch.cat(out[0]) if isinstance(out, tuple) else out


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found - expected).abs().max() < RELATIVE * expected.abs().max()


def test_same_logits(model):
    x = clips()
    assert_alike(logits(fuse(model), x), logits(model, x))


def test_float64_is_exact_up_to_rounding(model):
    x = clips([(0, 1)]).double()
    model.double()
    torch.testing.assert_close(logits(fuse(model), x), logits(model, x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    'empty',
    [[(0, 1)], [(0, 0), (1, 1)], [(n, m) for n in range(3) for m in range(2)]],
    ids=['one', 'two', 'all'],
)
def test_empty_persons_are_skipped_exactly(model, empty):
    x, fused = clips(empty), fuse(model)
    for _ in range(2):  # computing the empty person's features, and taking them from the cache
        assert_alike(logits(fused, x), logits(model, x))
    longer = x.repeat(1, 1, 1, 2, 1, 1)
    assert_alike(logits(fused, longer), logits(model, longer))


@pytest.mark.parametrize('frames', [slice(-1, None), slice(0, 3), slice(1, None)])
def test_zero_frames_leave_a_person_there(model, frames):
    """Motion streams end in one, Kinect loses persons for some frames, and zero joints don't matter."""
    x = clips()
    x[:, :, :, frames] = 0
    x[0, :, 1, :, 2] = 0
    assert_alike(logits(fuse(model), x), logits(model, x))


def test_empty_persons_are_kept_by_type(model):
    fused, x = fuse(model), clips([(0, 1)])
    expected = logits(copy.deepcopy(fused).double(), x.double())
    logits(fused, x)
    torch.testing.assert_close(logits(fused.double(), x.double()), expected, rtol=1e-11, atol=1e-11)


def test_the_network_sees_no_empty_person(model):
    fused = fuse(model)
    x = clips([(0, 1), (2, 1)])
    logits(fused, x)
    seen = []
    fused.recognizer.backbone.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    logits(fused, x)
    assert seen == [4]


def test_no_batch_norm_is_left_but_that_of_the_input(model):
    norms = [m for m in fuse(model).modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 1


def test_the_model_itself_stays_as_it_is(model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    fuse(model)
    assert model.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_predictions_have_all_their_fields():
    model = trained(small_dualhead_config())
    x = clips()
    for found, expected in zip(
        *(m(x, [ActionDataSample() for _ in x], mode='predict') for m in (fuse(model), model)), strict=True
    ):
        for field in ('pred_score', 'coarse_score', 'fine_score'):
            assert_alike(found.get(field), expected.get(field))


class TestStaleness:
    def test_a_training_step_ends_it(self, model):
        fused = fuse(model)
        optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        with pytest.raises(RuntimeError, match='weights have changed since fuse'):
            logits(fused, clips())

    def test_loading_weights_ends_it(self, model):
        fused = fuse(model)
        model.load_state_dict(model.state_dict())
        with pytest.raises(RuntimeError, match='weights have changed since fuse'):
            logits(fused, clips())

    def test_running_statistics_end_it(self, model):
        fused = fuse(model)
        model.train()(clips(), mode='tensor')
        with pytest.raises(RuntimeError, match='weights have changed since fuse'):
            logits(fused, clips())

    def test_it_does_not_train(self, model):
        with pytest.raises(RuntimeError, match='for inference'):
            fuse(model).train()(clips(), mode='tensor')
        with pytest.raises(RuntimeError, match='for inference'):
            fuse(model)(clips(), [ActionDataSample()], mode='loss')


def test_a_foreign_model_cannot_be_fused():
    stgcn = build(
        dict(
            type='RecognizerGCN',
            backbone=dict(type='STGCN', graph_cfg=dict(layout='coco', mode='stgcn_spatial')),
            cls_head=dict(type='GCNHead', num_classes=7, in_channels=256),
        )
    )
    assert not can_fuse(stgcn)
    with pytest.raises(TypeError, match='cannot be fused'):
        fuse(stgcn)


@pytest.mark.fault(
    'a subclass of an attention or of a block in a model that is fused for prediction',
    '-',
    'kept as it is; fused as its base class would compute something else',
)
def test_a_subclass_of_a_known_part_is_kept():
    class Inverted(SpatialAttention):
        def mask(self, source: torch.Tensor) -> torch.Tensor:
            return 1 - super().mask(source)

    model = trained(small_dualhead_config())
    model.attentions['spatial'][0].__class__ = Inverted
    x = clips()
    assert_alike(logits(fuse(model), x), logits(model, x))


class TestHalf:
    """Blocks and attentions in bfloat16; the norm of the input and the classifiers in single precision."""

    def test_logits_differ_by_its_rounding(self, model):
        x = clips([(0, 1)])
        expected, found = logits(model, x), logits(fuse(model, torch.bfloat16), x)
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()

    def test_weights_of_blocks_are_stored_in_it(self, model):
        fused = fuse(model, torch.bfloat16)
        assert {value.dtype for value in fused.recognizer.backbone.blocks.state_dict().values()} == {
            torch.bfloat16
        }
        assert all(p.dtype == torch.float32 for p in fused.recognizer.cls_head.parameters())
        assert fused.recognizer.backbone.data_norm.weight.dtype == torch.float32

    def test_other_types_are_refused(self, model):
        with pytest.raises(ValueError, match='int8'):
            fuse(model, torch.int8)

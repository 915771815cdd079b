"""The whole recognizer, as configs build it and MMAction2 calls it."""

from __future__ import annotations

import pytest
import torch
from mmaction.models import ActionDataPreprocessor
from mmaction.structures import ActionDataSample

from mmdualhead.models.block import recomputed
from tests.models.networks import build, msg3d_config, small_dualhead_config

N, CLIPS, M, T, V, C = 2, 3, 2, 12, 5, 3


def inputs(persons: int = M, channels: int = C) -> torch.Tensor:
    return torch.randn(N, CLIPS, persons, T, V, channels)


def data_samples() -> list[ActionDataSample]:
    return [ActionDataSample().set_gt_label(label) for label in range(N)]


def assert_each_number_counts(model: torch.nn.Module, x: torch.Tensor) -> None:
    """The logits of both heads depend on each coordinate of each joint of each person."""
    (coarse, fine), _ = model.eval()(x.requires_grad_(), mode='tensor')
    for logits in (coarse, fine):
        (gradient,) = torch.autograd.grad(logits.square().sum(), x, retain_graph=True)
        assert gradient.flatten(0, 1).any(0).any(1).all()


def test_tensor_mode_gives_both_heads_logits():
    (coarse, fine), rest = build(small_dualhead_config())(inputs(), mode='tensor', stage='head')
    assert coarse.shape == fine.shape == (N * CLIPS, 7)
    assert rest == {}


def test_stages():
    model = build(small_dualhead_config())
    base, _ = model(inputs(), mode='tensor', stage='backbone')
    assert base.shape == (N * CLIPS, M, 12, T, V)
    features, _ = model(inputs(), mode='tensor', stage='features')
    coarse, fine = features['coarse'], features['fine']
    assert coarse.shape == (N * CLIPS, M, 48, 2, V)
    assert fine.shape == (N * CLIPS, M, 24, 3, V)
    with pytest.raises(ValueError, match="stage is 'neck'"):
        model(inputs(), mode='tensor', stage='neck')


def test_loss_reaches_every_parameter():
    model = build(small_dualhead_config())
    losses = model(inputs()[:, :1], data_samples(), mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    assert {'coarse_loss', 'fine_loss', 'coarse_top1_acc', 'fine_top1_acc', 'fused_top1_acc'} <= log.keys()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_prediction_carries_the_scores_of_both_heads():
    predictions = build(small_dualhead_config()).eval()(inputs(), data_samples(), mode='predict')
    for sample in predictions:
        for score in (sample.pred_score, sample.coarse_score, sample.fine_score):
            assert score.shape == (7,)
            assert score.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('persons', [1, 3])
@pytest.mark.parametrize('channels', [2, 6])
def test_any_number_of_persons_and_channels(persons, channels):
    model = build(small_dualhead_config(backbone=dict(num_person=persons, in_channels=channels)))
    assert_each_number_counts(model, inputs(persons, channels))


def test_input_that_does_not_fit_the_config_is_refused():
    with pytest.raises(ValueError, match=r'\(3, 5, 3\), the config has \(2, 5, 3\)'):
        build(small_dualhead_config())(inputs(persons=3), mode='tensor')


@pytest.mark.parametrize(
    'ablation',
    [
        dict(attentions=None),
        dict(attentions=dict(spatial=None)),
        dict(attentions=dict(temporal=dict(source='coarse'))),
        dict(attentions=dict(spatial=dict(source='fine'))),
        dict(heads=dict(fine=dict(reduction=1))),
        dict(heads=dict(coarse=dict(windows=()))),
        dict(heads=dict(coarse=dict(windows=(3, 5)))),
        dict(heads=dict(coarse=dict(subsample=1))),
        dict(heads=dict(coarse=dict(subsample=4))),
    ],
    ids=str,
)
def test_every_ablation_is_a_config_value(ablation):
    model = build(small_dualhead_config(**ablation))
    (coarse, fine), _ = model(torch.randn(1, 1, M, 13, V, C), mode='tensor')
    assert coarse.shape == fine.shape == (1, 7)
    (coarse.sum() + fine.sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_without_attention_the_heads_are_alone():
    model = build(small_dualhead_config(attentions=None)).eval()
    base = torch.randn(2, 12, T, V)
    for name, features in model.interleave(base).items():
        torch.testing.assert_close(features, model.heads[name](base))


def test_heads_of_unequal_depth_are_refused():
    with pytest.raises(ValueError, match='coarse has 2, fine has 1'):
        build(small_dualhead_config(heads=dict(fine=dict(channels=(24,), strides=(2,)))))


def test_a_stride_per_block_is_required():
    with pytest.raises(ValueError, match=r'FineHead: 2 channels \(12, 24\), 1 strides \(2,\)'):
        build(small_dualhead_config(heads=dict(fine=dict(channels=(24, 48), strides=(2,)))))


@pytest.mark.parametrize('missing', ['source', 'target', 'weighs'])
def test_an_attention_says_who_weighs_what(missing):
    link = dict(type='SpatialAttention', source='fine', target='coarse', weighs='output')
    del link[missing]
    with pytest.raises(ValueError, match=f"attention 'mine' lacks {missing}"):
        build(small_dualhead_config(attentions=dict(mine=link)))


def middle_head(source: str = 'fine') -> dict:
    """A third head, as a config adds it."""
    attention = dict(type='TemporalAttention', source=source, target='middle', weighs='input')
    head = dict(type='CoarseHead', channels=(24, 48), subsample=1)
    return dict(heads=dict(middle=head), attentions=dict(middle=attention))


def test_a_third_head_is_a_config_entry():
    model = build(small_dualhead_config(**middle_head()))
    logits, _ = model(inputs(), mode='tensor')
    assert [x.shape for x in logits] == [(N * CLIPS, 7)] * 3
    losses = model(inputs()[:, :1], data_samples(), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert {'coarse_loss', 'fine_loss', 'middle_loss'} <= set(losses)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    sample = model.eval()(inputs(), data_samples(), mode='predict')[0]
    mean = (sample.coarse_score + sample.fine_score + sample.middle_score) / 3
    torch.testing.assert_close(sample.pred_score, mean)


def test_a_third_head_changes_nothing_for_the_two():
    model, two = build(small_dualhead_config(**middle_head())).eval(), build(small_dualhead_config()).eval()
    two.load_state_dict({k: v for k, v in model.state_dict().items() if 'middle' not in k})
    x = inputs()
    torch.testing.assert_close(model(x, mode='tensor')[0][:2], two(x, mode='tensor')[0])


def test_a_single_head_is_the_limit_case():
    config = small_dualhead_config(attentions=None)
    del config['heads']['coarse']
    model = build(config)
    (fine,), _ = model(inputs(), mode='tensor')
    assert fine.shape == (N * CLIPS, 7)
    sample = model.eval()(inputs(), data_samples(), mode='predict')[0]
    torch.testing.assert_close(sample.pred_score, sample.fine_score)


def test_an_attention_listens_to_the_head_that_it_names():
    """What a head gives depends on its source, and on no head that it does not listen to."""
    model = build(small_dualhead_config(attentions=dict(spatial=None))).eval()
    torch.nn.init.normal_(model.attentions['temporal'][0].conv.weight)
    before = model.interleave(base := torch.randn(2, 12, T, V))
    torch.nn.init.normal_(model.heads['fine'].blocks[0].fuse_paths.norm.weight)
    after = model.interleave(base)
    assert not torch.allclose(before['coarse'], after['coarse'])
    before = after
    torch.nn.init.normal_(model.heads['coarse'].blocks[0].fuse_paths.norm.weight)
    torch.testing.assert_close(model.interleave(base)['fine'], before['fine'])


def test_heads_that_wait_for_each_other_are_refused():
    back = dict(type='TemporalAttention', source='coarse', target='fine', weighs='input')
    with pytest.raises(ValueError, match=r'in a circle: .*coarse for fine|in a circle: .*fine for coarse'):
        build(small_dualhead_config(attentions=dict(back=back)))
    # The other way round the output is weighed, for which nothing has to wait.
    build(small_dualhead_config(attentions=dict(back={**back, 'weighs': 'output'})))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(source='middle'), "source='middle', the heads are"),
        (dict(weighs='both'), "weighs='both', expected 'input' or 'output'"),
    ],
)
def test_an_attention_that_names_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(small_dualhead_config(attentions=dict(temporal=wrong)))


def test_reduction_must_divide_the_channels():
    with pytest.raises(ValueError, match='reduction 5 does not divide'):
        build(small_dualhead_config(heads=dict(fine=dict(reduction=5))))


def test_recompute_reaches_all_blocks_and_changes_no_loss():
    torch.manual_seed(0)
    plain = build(small_dualhead_config())
    torch.manual_seed(0)
    again = build(small_dualhead_config(recompute=True))
    x = inputs()[:, :1]
    losses = [model(x, data_samples(), mode='loss')['fine_loss'] for model in (plain, again)]
    torch.testing.assert_close(*losses)
    blocks = [*again.backbone.blocks, *(block for head in again.heads.values() for block in head.blocks)]
    assert all(block.run is recomputed for block in blocks)


def test_backbone_under_mmaction2s_recognizer_and_head():
    layout = dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)])
    config = msg3d_config(layout, 3, 2, num_classes=7)
    config['backbone'] |= dict(channels=(12, 24, 48))
    config['cls_head'] |= dict(in_channels=48)
    model = build(config)
    losses = model(inputs()[:, :1], data_samples(), mode='loss')
    assert losses['loss_cls'].isfinite()
    predictions = model.eval()(inputs(), data_samples(), mode='predict')
    assert predictions[0].pred_score.shape == (7,)


def test_layout_by_name():
    config = small_dualhead_config()
    for layout, joints in (('coco', 17), ('kinect_v1', 20)):
        config['graph_cfg'] = dict(layout=layout, gcn_scales=3, g3d_scales=2)
        assert_each_number_counts(build(config), torch.randn(1, 1, M, T, joints, C))


def test_another_preprocessor_takes_the_place_of_mmaction2_s():
    blending = dict(type='MixupBlending', num_classes=7)
    given = dict(type='ActionDataPreprocessor', blending=blending)
    usual, blended = (build(small_dualhead_config(**part)) for part in ({}, dict(data_preprocessor=given)))
    assert type(usual.data_preprocessor) is ActionDataPreprocessor
    assert usual.data_preprocessor.blending is None
    assert blended.data_preprocessor.blending.num_classes == 7

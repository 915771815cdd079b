"""Testing with the fused model changes no score."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmaction.evaluation import AccMetric  # noqa: F401  registers the metric
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner

from mmdualhead.apis import fuse
from mmdualhead.engine.hooks import fuse as fuse_hook
from mmdualhead.errors import UserError
from tests.models.networks import build, small_dualhead_config

SEEN = {}


@METRICS.register_module()
class KeepScores(BaseMetric):
    """Keeps what it is given."""

    def process(self, data_batch, data_samples):  # noqa: ARG002
        self.results += [sample['pred_score'] for sample in data_samples]

    def compute_metrics(self, results):
        SEEN['scores'] = torch.stack(results)
        return {'clips': len(results)}


class Clips(torch.utils.data.Dataset):
    """Four clips, half of whose second persons are empty."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = torch.randn(1, 2, 12, 5, 3, generator=torch.Generator().manual_seed(index))
        x[:, 1] *= index % 2
        return {'inputs': x, 'data_samples': ActionDataSample().set_gt_label(index)}


def scores(tmp_path, model, hooks) -> tuple[torch.Tensor, Runner]:
    runner = Runner(
        model,
        str(tmp_path),
        test_dataloader=dict(
            dataset=Clips(), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='KeepScores'),
        default_hooks=dict(checkpoint=None, **hooks),
        default_scope='mmaction',
        experiment_name=f'{tmp_path.name}-{len(list(tmp_path.iterdir()))}',
    )
    runner.test()
    return SEEN['scores'], runner


@pytest.fixture
def model():
    model = build(small_dualhead_config())
    model.train()(torch.randn(4, 1, 2, 12, 5, 3), mode='tensor')
    return model


def test_same_scores_and_the_model_back_in_its_place(tmp_path, model, monkeypatch):
    fused = []
    monkeypatch.setattr(fuse_hook, 'fuse', lambda source, dtype: fused.append(source) or fuse(source, dtype))
    expected, _ = scores(tmp_path, model, dict(fuse=dict(type='FuseHook', enabled=False)))
    assert fused == []
    found, runner = scores(tmp_path, model, dict(fuse=dict(type='FuseHook')))
    torch.testing.assert_close(found, expected)
    assert fused == [model]
    assert runner.model is model


def test_half_precision_where_the_processor_is_fast_at_it(tmp_path, model, monkeypatch):
    expected, _ = scores(tmp_path, model, {})
    half = dict(fuse=dict(type='FuseHook', half=True))
    monkeypatch.setattr(fuse_hook, 'slow_half', lambda _: None)
    found, _ = scores(tmp_path, model, half)
    assert 0 < (found - expected).abs().max() < 0.05
    monkeypatch.setattr(fuse_hook, 'slow_half', lambda _: 'no bfloat16')
    with pytest.raises(UserError, match='half precision: no bfloat16'):
        scores(tmp_path, model, half)


def test_in_several_processes_the_wrapped_model_is_fused_and_the_wrapper_comes_back(tmp_path, model):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/meeting', rank=0, world_size=1)
    try:
        wrapper = MMDistributedDataParallel(model)
        runner = SimpleNamespace(model=wrapper, logger=MMLogger.get_instance('fuse'))
        hook = fuse_hook.FuseHook()
        hook.before_test_epoch(runner)
        x = torch.randn(2, 1, 2, 12, 5, 3)
        with torch.no_grad():
            for found, expected in zip(
                *(m.eval()(x, mode='tensor')[0] for m in (runner.model, model)), strict=True
            ):
                torch.testing.assert_close(found, expected)
        with pytest.raises(RuntimeError, match='for inference'):
            runner.model(x, mode='loss')
        hook.after_test_epoch(runner)
        assert runner.model is wrapper
    finally:
        dist.destroy_process_group()

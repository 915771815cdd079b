"""Checkpoints without weights, and a runner around a network with six, for tests of hooks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import mmdualhead  # noqa: F401

CLIPS = 8
COSINE = {'type': 'CosineAnnealingLR', 'T_max': 40, 'by_epoch': False}
HOOKS = {
    'load_check': {'type': 'LoadCheckHook'},
    'config_check': {'type': 'ConfigCheckHook'},
    'finite_check': {'type': 'FiniteCheckHook'},
    'resume': {'type': 'ResumeHook'},
    'interrupt': {'type': 'InterruptHook'},
    'checkpoint': {'type': 'AtomicCheckpointHook', 'interval': 1, 'max_keep_ckpts': 1, 'save_best': 'acc'},
}


class TinyModel(BaseModel):
    """Classifies points of the plane; as an MMAction2 recognizer seen from outside."""

    def __init__(self, classes: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Linear(2, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.fc(self.dropout(torch.stack(list(inputs))))
        if mode == 'loss':
            labels = torch.cat([sample.gt_label for sample in data_samples])
            return {'loss_cls': nn.functional.cross_entropy(logits, labels)}
        for sample, score in zip(data_samples, logits.softmax(-1), strict=True):
            sample.set_pred_score(score)
        return data_samples


class MeanScore(BaseMetric):
    """The mean score of the first class, as ``acc``."""

    def process(self, _batch, data_samples):
        self.results += [sample['pred_score'][0].item() for sample in data_samples]

    def compute_metrics(self, results):
        return {'acc': sum(results) / len(results)}


class Clips(torch.utils.data.Dataset):
    """``clip0`` ... ``clip7``, two classes."""

    def __init__(self) -> None:
        self.inputs = torch.randn(CLIPS, 2, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return CLIPS

    def __getitem__(self, i):
        sample = ActionDataSample(metainfo={'frame_dir': f'clip{i}'}).set_gt_label(i % 2)
        return {'inputs': self.inputs[i].clone(), 'data_samples': sample}


@pytest.fixture
def save(tmp_path):
    """A function that saves a checkpoint without weights in ``tmp_path``."""

    def save(name='epoch_1.pth', **content):
        whole = {'meta': {'iter': 1}, 'state_dict': {}, 'message_hub': {}, 'optimizer': {}}
        torch.save({**whole, **content}, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def make_runner(tmp_path, monkeypatch) -> Callable[..., Runner]:
    """A function that makes a runner in ``tmp_path/run``, with all our hooks and 4 batches an epoch."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)

    def make(
        *,
        epochs: int = 2,
        train: Clips | None = None,
        val: Clips | None = None,
        classes: int = 2,
        dropout: float = 0.0,
        workers: int = 0,
        rate: float = 0.1,
        accumulate: int = 1,
        hooks: dict[str, Any] | None = None,
        extra_hooks: list | None = None,
        **settings: Any,
    ) -> Runner:
        loader = {'batch_size': 2, 'num_workers': workers, 'collate_fn': {'type': 'pseudo_collate'}}
        loader['persistent_workers'] = workers > 0
        in_order = {'type': 'DefaultSampler', 'shuffle': False}
        make.count += 1
        torch.manual_seed(0)
        return Runner(
            model=TinyModel(classes, dropout),
            work_dir=str(tmp_path / 'run'),
            train_dataloader={
                **loader,
                'dataset': train or Clips(),
                'sampler': {**in_order, 'shuffle': True},
            },
            val_dataloader={**loader, 'dataset': val or Clips(), 'sampler': in_order},
            test_dataloader={**loader, 'dataset': val or Clips(), 'sampler': in_order},
            train_cfg=settings.pop('train_cfg', {'by_epoch': True, 'max_epochs': epochs}),
            val_cfg={},
            test_cfg={},
            val_evaluator=Evaluator([MeanScore()]),
            test_evaluator=Evaluator([MeanScore()]),
            optim_wrapper={
                'optimizer': {'type': 'SGD', 'lr': rate, 'momentum': 0.9},
                'accumulative_counts': accumulate,
            },
            param_scheduler=settings.pop('param_scheduler', COSINE),
            default_hooks={**HOOKS, **(hooks or {})},
            custom_hooks=extra_hooks,
            randomness={'seed': 0},
            experiment_name=f'{tmp_path.name}-{make.count}',
            default_scope='mmaction',
            cfg=Config(settings.pop('config', {})),
            **settings,
        )

    make.count = 0
    return make

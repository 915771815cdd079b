"""The learning rates of the configs' schedules, in runs of a network with six weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import CosineAnnealingLR, LinearLR, MultiStepLR
from mmengine.runner import Runner

from mmdualhead.engine.schedulers import ShareCosineAnnealingLR, ShareLinearLR, ShareMultiStepLR
from tests.engine.conftest import Clips, TinyModel

PROTOCOLS = Path(__file__).parents[2] / 'configs' / '_base_' / 'protocols'
EPOCH = 4  # iterations


class Recorder(Hook):
    """Remembers the learning rate of every iteration."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):  # noqa: ARG002
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def rates(protocol: str, tmp_path: Path, epochs: int | None = None) -> list[float]:
    """The learning rate of every iteration, relative to the config's, as ``--cfg-options`` changes it."""
    config = Config.fromfile(PROTOCOLS / f'{protocol}.py')
    if epochs is not None:
        config.merge_from_dict({'train_cfg.max_epochs': epochs})
    config.optim_wrapper.optimizer.weight_decay = 0
    recorder = Recorder()
    Runner(
        model=TinyModel(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=8 // EPOCH, dataset=Clips(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=config.train_cfg.max_epochs),
        optim_wrapper=config.optim_wrapper,
        param_scheduler=config.param_scheduler,
        custom_hooks=[recorder],
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmaction',
        log_level='ERROR',
        experiment_name=f'{protocol}_{epochs}_{tmp_path.name}',
    ).train()
    return [rate / config.optim_wrapper.optimizer.lr for rate in recorder.rates]


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def cosine(steps: int) -> list[float]:
    return [(1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)]


@pytest.mark.parametrize('epochs', [None, 1, 20])
@pytest.mark.parametrize(('protocol', 'usual'), [('quickstart', 8), ('uniform100', 80), ('strong', 120)])
def test_cosine_ends_with_the_training(protocol, usual, epochs, tmp_path):
    found = rates(protocol, tmp_path, epochs)
    assert found == pytest.approx(cosine((epochs or usual) * EPOCH), abs=1e-6)


@pytest.mark.parametrize(('epochs', 'warm'), [(None, 3), (80, 6)])
def test_warm_up_and_cosine_keep_their_proportion(epochs, warm, tmp_path):
    found = rates('small', tmp_path, epochs)
    steps = warm * EPOCH
    ramp = [0.1 + 0.9 * step / (steps - 1) for step in range(steps)]
    assert found == pytest.approx([*ramp, *cosine((epochs or 40) * EPOCH - steps)], abs=1e-6)


@pytest.mark.parametrize('epochs', [1, 2, 20])
def test_the_shortest_training_warms_up_and_anneals(epochs, tmp_path):
    found = rates('small', tmp_path, epochs)
    assert found[0] == pytest.approx(0.1)
    assert max(found) > 0.8
    assert found[-1] < 0.2


@pytest.mark.parametrize(
    ('protocol', 'epochs', 'drops'),
    [
        ('paper', None, (40, 60)),
        ('paper', 20, (10, 15)),
        ('paper', 1, (1, 1)),
        ('paper_kinetics', None, (50, 70)),
        ('paper_kinetics', 8, (5, 7)),
    ],
)
def test_steps_keep_their_proportion(protocol, epochs, drops, tmp_path):
    found = rates(protocol, tmp_path, epochs)[::EPOCH]
    first, second = drops
    expected = [0.1 ** ((epoch >= first) + (epoch >= second)) for epoch in range(epochs or 80)]
    assert found == pytest.approx(expected)


def in_iterations(schedule: type, **arguments) -> list[float]:
    """The rates of a schedule over 8 epochs of 10 iterations, converted to iterations."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    built = schedule.build_iter_from_epoch(optimizer, **{'end': 8, **arguments}, epoch_length=10)
    found = []
    for _ in range(80):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        built.step()
    return found


@pytest.mark.fault(
    '`convert_to_iter_based` with a step in epochs beside a share of training',
    '-',
    'both are converted, as MMEngine converts epochs',
)
@pytest.mark.parametrize(
    ('ours', 'shares', 'original', 'epochs', 'both'),
    [
        (ShareLinearLR, dict(end=0.5), LinearLR, dict(end=4), dict(start_factor=0.1)),
        (ShareLinearLR, dict(end=0.75), LinearLR, dict(end=6), dict(start_factor=0.1, begin=4)),
        (ShareLinearLR, dict(begin=0.25), LinearLR, dict(begin=1), dict(start_factor=0.1, end=4)),
        (ShareCosineAnnealingLR, dict(begin=0.5), CosineAnnealingLR, dict(begin=4), {}),
        (ShareCosineAnnealingLR, dict(begin=0.5), CosineAnnealingLR, dict(begin=4), dict(T_max=10)),
        (ShareMultiStepLR, dict(milestones=[0.25, 0.5]), MultiStepLR, dict(milestones=[2, 4]), {}),
        (ShareMultiStepLR, dict(end=0.5), MultiStepLR, dict(end=4), dict(milestones=[2, 3])),
    ],
)
def test_the_same_in_iterations_as_mmengine(ours, shares, original, epochs, both):
    expected = in_iterations(original, **{**both, **epochs})
    assert in_iterations(ours, shares=shares, **both) == pytest.approx(expected, abs=1e-9)
    assert len({*expected}) > 2


def test_shares_out_of_range():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='end is a share of training, 0 to 1, found 3'):
        ShareLinearLR(optimizer, shares=dict(end=3), end=8)

"""A resumed training equals an uninterrupted one bit for bit, whatever stopped it."""

import os
import random
import select
import signal
import time
import traceback
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmdualhead.engine.checkpoints import load_from_local
from tests.engine.conftest import Clips

BY_ITERATION = {'type': 'AtomicCheckpointHook', 'interval': 3, 'by_epoch': False, 'max_keep_ckpts': 1}
TRAININGS = {
    'epochs': {},
    'accumulated gradients': {'accumulate': 5},
    'iteration checkpoints': {'hooks': {'checkpoint': BY_ITERATION}},
    'iterations': {
        'hooks': {'checkpoint': BY_ITERATION},
        'train_cfg': {'by_epoch': False, 'max_iters': 12, 'val_interval': 100},
    },
}


class NoisyClips(Clips):
    """Augmented by all three kinds of random numbers."""

    def __getitem__(self, i):
        clip = super().__getitem__(i)
        clip['inputs'] += random.random() + float(np.random.rand()) + torch.rand(2)
        return clip


class Stop(Hook):
    """Sends a signal to this process, or to it and its workers, in some iteration."""

    priority = 'HIGH'

    def __init__(self, number, iteration, group=False):
        self.number, self.iteration, self.group = number, iteration, group

    def after_train_iter(self, runner, **_):
        if runner.iter + 1 == self.iteration:
            (os.killpg if self.group else os.kill)(os.getpid(), self.number)
            time.sleep(0.3)  # for the workers to notice


@pytest.fixture
def train(make_runner, tmp_path):
    """Train in a child process that leads a group, as a job of a scheduler does; gives its exit status."""

    def train(stop=None, kill_after=None, **settings):
        """``kill_after`` seconds the child is killed, if it still runs."""
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                hooks = [stop] if stop else []
                runner = make_runner(
                    train=NoisyClips(), dropout=0.5, extra_hooks=hooks, **{'epochs': 3, **settings}
                )
                runner.train()
                torch.save((runner.model.state_dict(), runner.iter), tmp_path / 'end.pth')
                os._exit(0)
            except SystemExit as end:
                os._exit(end.code)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        if kill_after is not None:
            end = time.monotonic() + kill_after
            while time.monotonic() < end:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return train


@pytest.mark.parametrize(('kind', 'workers'), list(zip(TRAININGS, (2, 0, 0, 2), strict=True)))
@pytest.mark.fault(
    'SIGTERM to all processes, then kill -9, with augmentation and workers',
    'the epoch is lost, other random numbers, iteration checkpoints begin their epoch anew',
    'resumes; equal to an uninterrupted training bit for bit',
)
def test_killed_and_resumed(train, tmp_path, kind, workers):
    """SIGTERM to all processes in iteration 6, SIGKILL in iteration 11."""
    settings = {**TRAININGS[kind], 'workers': workers}
    assert train(**settings) == 0
    expected, iterations = torch.load(tmp_path / 'end.pth')
    (tmp_path / 'run').rename(tmp_path / 'uninterrupted')

    assert train(Stop(signal.SIGTERM, 6, group=True), **settings) == 143
    assert (tmp_path / 'run' / 'interrupted.pth').is_file()
    assert train(Stop(signal.SIGKILL, 11), resume=True, **settings) == -signal.SIGKILL
    assert train(resume=True, **settings) == 0
    found, resumed_iterations = torch.load(tmp_path / 'end.pth')
    assert resumed_iterations == iterations == 12
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


class Killed(BaseException):
    """In place of SIGKILL, in this process."""


class Dies(Hook):
    """Dies in an iteration, or in the validation after one."""

    def __init__(self, iteration=None, validation=None):
        self.iteration, self.validation = iteration, validation

    def after_train_iter(self, runner, **_):
        if runner.iter + 1 == self.iteration:
            raise Killed

    def after_val_iter(self, runner, **_):
        if runner.iter == self.validation:
            raise Killed


class Accuracies(Hook):
    """Of four validations."""

    priority = 'HIGHEST'

    def after_val_epoch(self, runner, metrics):
        metrics['acc'] = (0.1, 0.9, 0.2, 0.3)[runner.iter // 4 - 1]


BEST = {'save_best': 'acc', 'max_keep_ckpts': 1, 'type': 'AtomicCheckpointHook'}
VALIDATED = {
    'epochs': {'epochs': 4, 'hooks': {'checkpoint': {**BEST, 'interval': 1}}},
    'iterations': {
        'hooks': {'checkpoint': {**BEST, 'interval': 2, 'by_epoch': False}},
        'train_cfg': {'by_epoch': False, 'max_iters': 16, 'val_interval': 4},
    },
}


@pytest.mark.parametrize('kind', VALIDATED)
@pytest.mark.parametrize(
    'killed',
    [
        {'validation': 8},
        {'validation': 16},
        {'iteration': 10},  # after a validation that the checkpoint knows of
        {'iteration': 14},  # after one that it doesn't, since it is not the best
        {},
    ],
    ids=str,
)
@pytest.mark.fault(
    'killed during a validation and resumed',
    'that validation never happens; if it was the best, a worse one counts as the best',
    'validated first; the best checkpoint, accuracies and rates of an uninterrupted training',
)
def test_a_validation_is_made_up_for(make_runner, tmp_path, kind, killed):
    plateau = {'type': 'ReduceOnPlateauLR', 'monitor': 'acc', 'rule': 'greater', 'factor': 0.5, 'patience': 0}

    def runner(resume=False, **killed):
        hooks = [Accuracies(), Dies(**killed)]
        settings = dict(train=NoisyClips(), dropout=0.5, extra_hooks=hooks, param_scheduler=plateau)
        return make_runner(**settings, **VALIDATED[kind], resume=resume)

    def found(runner):
        files = sorted(file.name for file in (tmp_path / 'run').glob('*.pth'))
        names = ('val/acc', 'train/lr', 'train/loss')
        history = {name: runner.message_hub.get_scalar(name).data[0].tolist() for name in names}
        best = torch.load(tmp_path / 'run' / files[0])['state_dict']
        weights = [
            (name, w.tolist()) for part in (best, runner.model.state_dict()) for name, w in part.items()
        ]
        return files, history, weights, runner.optim_wrapper.get_lr(), runner.param_schedulers[0].state_dict()

    def train(runner):
        runner.train()
        return found(runner)

    expected = train(runner())
    (tmp_path / 'run').rename(tmp_path / 'uninterrupted')
    assert expected[1]['val/acc'] == [0.1, 0.9, 0.2, 0.3]
    assert expected[1]['train/lr'][-1] == 0.05

    cut = runner(**killed)
    with pytest.raises(Killed) if killed else nullcontext():
        cut.train()
    assert train(runner(resume=True)) == expected
    assert expected[0][0] == {'epochs': 'best_acc_epoch_2.pth', 'iterations': 'best_acc_iter_8.pth'}[kind]


@pytest.mark.parametrize('kind', VALIDATED)
@pytest.mark.parametrize('validation', [16, None])
def test_a_complete_run_is_not_validated_again(make_runner, warnings, kind, validation):
    """Its test would be older than the log of its training."""
    cut = make_runner(**VALIDATED[kind], extra_hooks=[Accuracies(), Dies(validation=validation)])
    with pytest.raises(Killed) if validation else nullcontext():
        cut.train()
    for _ in range(2):
        runner = make_runner(**VALIDATED[kind], extra_hooks=[Accuracies()], resume=True)
        log = warnings(runner)
        runner.train()
        assert 'the run is complete' in log.text
        assert runner.message_hub.get_scalar('val/acc').data[0].tolist() == [0.1, 0.9, 0.2, 0.3]


def test_checkpoints_of_earlier_versions_are_not_validated(make_runner, tmp_path):
    """They don't say if they were."""
    make_runner(epochs=1).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(path)
    del checkpoint['message_hub']['runtime_info']['validated_iter']
    del checkpoint['message_hub']['resumed_keys']['validated_iter']
    torch.save(checkpoint, path)
    runner = make_runner(epochs=2, resume=True)
    runner.train()
    assert len(runner.message_hub.get_scalar('val/acc').data[0]) == 2


def test_an_interruption_before_a_validation(make_runner, tmp_path):
    """Of a run in iterations; epochs end after it."""
    cut = make_runner(**VALIDATED['iterations'], extra_hooks=[Accuracies(), Stop(signal.SIGTERM, 8)])
    with pytest.raises(SystemExit):
        cut.train()
    runner = make_runner(**VALIDATED['iterations'], extra_hooks=[Accuracies()], resume=True)
    runner.train()
    assert runner.message_hub.get_scalar('val/acc').data[0].tolist() == [0.1, 0.9, 0.2, 0.3]
    assert (tmp_path / 'run' / 'best_acc_iter_8.pth').is_file()


@pytest.mark.parametrize(
    'loop', [{'val_interval': 2}, {'val_begin': 4}, {'dynamic_intervals': [(3, 2)]}], ids=str
)
@pytest.mark.parametrize('by', [{'by_epoch': True, 'max_epochs': 5}, {'by_epoch': False, 'max_iters': 5}])
def test_no_other_validation_is_made_up_for(make_runner, tmp_path, loop, by):
    """Killed in every epoch, or iteration."""
    unit = 4 if by['by_epoch'] else 1
    checkpoint = {**BEST, 'interval': 1, 'by_epoch': by['by_epoch']}
    settings = {'hooks': {'checkpoint': checkpoint}, 'train_cfg': {**by, **{'val_interval': 1}, **loop}}
    whole = make_runner(**settings)
    whole.train()
    (tmp_path / 'run').rename(tmp_path / 'uninterrupted')
    for last in range(1, 5):
        cut = make_runner(**settings, extra_hooks=[Dies(iteration=last * unit + 1)], resume=last > 1)
        with pytest.raises(Killed):
            cut.train()
    resumed = make_runner(**settings, resume=True)
    resumed.train()
    accuracies = [one.message_hub.get_scalar('val/acc').data[0].tolist() for one in (whole, resumed)]
    assert accuracies[0] == accuracies[1]
    assert 1 < len(accuracies[0]) < 5


@pytest.mark.parametrize('by', [{}, {'train_cfg': {'by_epoch': False, 'max_iters': 3}}])
def test_a_complete_run_is_said_to_be(make_runner, warnings, by):
    hooks = {'checkpoint': BY_ITERATION} if by else {}
    make_runner(epochs=1, hooks=hooks, **by).train()
    runner = make_runner(epochs=1, hooks=hooks, resume=True, **by)
    log = warnings(runner)
    runner.train()
    assert f'the run is complete ({0 if by else 1} epochs, {3 if by else 4} iterations)' in log.text


@pytest.mark.fault('kill -9 of a run with workers', 'no orphans', 'no orphans')
def test_workers_end_with_a_killed_training(train):
    """Although they ignore signals that are not from their parent: a pipe that all hold is closed."""
    ended, held = os.pipe()
    assert train(Stop(signal.SIGKILL, 6), workers=2) == -signal.SIGKILL
    os.close(held)
    assert select.select([ended], [], [], 30)[0]
    os.close(ended)


@pytest.mark.heavy
def test_forty_random_kills_lose_nothing(train, tmp_path):
    """Kill -9 at a random moment, resume, and so on; every checkpoint that is left is whole."""
    settings = {'epochs': 200, 'workers': 2}
    assert train(**settings) == 0
    expected, iterations = torch.load(tmp_path / 'end.pth')
    (tmp_path / 'run').rename(tmp_path / 'uninterrupted')
    (tmp_path / 'end.pth').unlink()
    moments = random.Random(0)
    kills = 0
    for _ in range(40):
        status = train(kill_after=moments.uniform(0.5, 3), resume=(tmp_path / 'run').exists(), **settings)
        for file in (tmp_path / 'run').glob('*.pth'):
            load_from_local(file)
        kills += status == -signal.SIGKILL
        if status != -signal.SIGKILL:
            assert status == 0
            break
    print(f'{kills} kills')
    assert train(resume=True, **settings) == 0
    found, resumed_iterations = torch.load(tmp_path / 'end.pth')
    assert resumed_iterations == iterations
    assert all(torch.equal(found[name], value) for name, value in expected.items())

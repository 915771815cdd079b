"""A resumed training equals an uninterrupted one bit for bit, whatever stopped it."""

import os
import random
import select
import signal
import time
import traceback

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

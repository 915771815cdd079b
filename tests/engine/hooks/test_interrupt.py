import itertools
import os
import signal
import time
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from mmdualhead.engine.checkpoints import INTERRUPTED
from mmdualhead.engine.hooks.interrupt import InterruptHook, start_worker

NO_LOOPS = SimpleNamespace(train_loop=None, val_loop=None)
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138}


class Signal(Hook):
    """Sends this process a signal in a certain iteration or validation."""

    def __init__(self, number, iteration=None, validation=None):
        self.number, self.iteration, self.validation = number, iteration, validation

    def after_train_iter(self, runner, **_):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)

    def after_val_iter(self, runner, batch_idx, **_):
        if (runner.epoch, batch_idx) == (self.validation, 1):
            os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def not_under_nohup():
    """The signal that a closed terminal sends is not ignored, even if the tests were started with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def uninterrupted(make_runner, tmp_path):
    """The weights and the learning rate after three epochs without a break."""
    runner = make_runner(epochs=3)
    runner.train()
    for file in (tmp_path / 'run').glob('*.pth'):
        file.unlink()
    return state(runner)


def state(runner):
    return {**runner.model.state_dict(), 'rate': torch.tensor(runner.optim_wrapper.get_lr()['lr'][0])}


ONE_OF_EACH = dict(zip(STATUS, (1, 6, 8, 11), strict=True))
"""An iteration for every signal; what either changes has nothing to do with the other."""


@pytest.mark.parametrize(
    ('number', 'iteration'),
    [
        pytest.param(n, i, marks=[] if ONE_OF_EACH[n] == i else pytest.mark.heavy)
        for n in STATUS
        for i in ONE_OF_EACH.values()
    ],
)
def test_resumed_training_equals_an_uninterrupted_one(
    make_runner, uninterrupted, tmp_path, number, iteration
):
    handlers = [signal.getsignal(n) for n in STATUS]
    with pytest.raises(SystemExit) as stop:
        make_runner(epochs=3, extra_hooks=[Signal(number, iteration)]).train()
    assert stop.value.code == STATUS[number]
    assert [signal.getsignal(n) for n in STATUS] == handlers
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith(INTERRUPTED)

    runner = make_runner(epochs=3, resume=True)
    runner.train()
    assert runner.iter == 12
    for name, value in state(runner).items():
        assert torch.equal(value, uninterrupted[name]), name
    assert not (tmp_path / 'run' / INTERRUPTED).exists()


def test_two_interruptions_of_one_epoch(make_runner, uninterrupted):
    for iteration, resume in ((5, False), (7, True)):
        with pytest.raises(SystemExit):
            make_runner(epochs=3, resume=resume, extra_hooks=[Signal(signal.SIGTERM, iteration)]).train()
    runner = make_runner(epochs=3, resume=True)
    runner.train()
    for name, value in state(runner).items():
        assert torch.equal(value, uninterrupted[name]), name


def test_validation_is_finished_first(make_runner, tmp_path, uninterrupted):
    with pytest.raises(SystemExit):
        make_runner(epochs=3, extra_hooks=[Signal(signal.SIGTERM, validation=2)]).train()
    meta = torch.load(tmp_path / 'run' / INTERRUPTED)['meta']
    assert (meta['epoch'], meta['iter']) == (2, 8)
    assert (
        torch.load(tmp_path / 'run' / INTERRUPTED)['message_hub']['log_scalars']['val/acc'].data[0].size == 2
    )
    runner = make_runner(epochs=3, resume=True)
    runner.train()
    assert torch.equal(runner.model.fc.weight, uninterrupted['fc.weight'])


def test_epoch_starts_anew_if_the_batches_have_changed(make_runner, tmp_path):
    with pytest.raises(SystemExit):
        make_runner(epochs=3, extra_hooks=[Signal(signal.SIGTERM, 6)]).train()
    path = tmp_path / 'run' / INTERRUPTED
    checkpoint = torch.load(path)
    checkpoint['meta']['batches_per_epoch'] = 99
    torch.save(checkpoint, path)
    runner = make_runner(epochs=3, resume=True)
    runner.train()
    assert runner.iter == 12


def test_signals_are_left_alone_outside_training(make_runner):
    before = [signal.getsignal(n) for n in STATUS]
    runner = make_runner(epochs=1)
    runner.test()
    assert [signal.getsignal(n) for n in STATUS] == before
    runner.train()
    assert [signal.getsignal(n) for n in STATUS] == before


@pytest.mark.fault(
    'the terminal of a run is closed, or Slurm warns of the end by SIGUSR1',
    'the epoch is lost',
    'saves once; `--resume` continues; under nohup the training goes on',
)
def test_nohup_keeps_a_closed_terminal_away(make_runner):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = make_runner(epochs=1, extra_hooks=[Signal(signal.SIGHUP, 1)])
        runner.train()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert runner.iter == 4


def test_a_closed_terminal_takes_no_message(make_runner, monkeypatch):
    def fail(*_):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr('mmdualhead.engine.hooks.interrupt.os.write', fail)
    with pytest.raises(SystemExit) as stop:
        make_runner(extra_hooks=[Signal(signal.SIGHUP, 1)]).train()
    assert stop.value.code == 129


def test_forked_workers_can_be_terminated_but_survive_ctrl_c():
    hook = InterruptHook()
    hook.before_train(NO_LOOPS)
    try:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(1)
        time.sleep(0.2)
        os.kill(child, signal.SIGINT)
        time.sleep(0.2)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    finally:
        hook.after_train(None)
    assert hook._received is None


@pytest.mark.parametrize(
    ('number', 'pause', 'survived'),
    [('INT', 0, 1), ('TERM', 0, 3), ('TERM', 9, 1), ('HUP', 0, 3), ('USR1', 9, 1)],
)
def test_second_signal_stops_at_once(capfd, monkeypatch, number, pause, survived):
    """But for an echo: of a scheduler, say, and of a launcher that it signals as well."""
    child = os.fork()
    if child == 0:
        clock = itertools.count(step=pause)
        monkeypatch.setattr(time, 'monotonic', lambda: next(clock))
        # A run that ended in an error leaves its handlers to the process.
        for inherited in ('INT', 'TERM', 'HUP', 'USR1'):
            signal.signal(signal.Signals[f'SIG{inherited}'], signal.SIG_DFL)
        InterruptHook().before_train(NO_LOOPS)
        for signals_survived in range(3):
            os.kill(os.getpid(), signal.Signals[f'SIG{number}'])
            os.write(1, b'%d signals survived\n' % (signals_survived + 1))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (0 if survived == 3 else -signal.Signals[f'SIG{number}'])
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [f'{i + 1} signals survived' for i in range(survived)]
    assert printed.err.count(f'SIG{number}: saving after the current step') == 1


def _validate(rank, number, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    hook = InterruptHook()
    hook.before_train(NO_LOOPS)
    if number:
        os.kill(os.getpid(), number)
    runner = SimpleNamespace(epoch=0, iter=4, work_dir=str(folder), save_checkpoint=lambda *_, **__: None)
    runner.model = torch.nn.BatchNorm1d(2)
    runner.logger = MMLogger.get_instance('interrupt')
    try:
        hook.after_val_epoch(runner)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize('received', [(signal.SIGTERM, signal.SIGTERM), (0, signal.SIGINT)])
def test_all_processes_stop_by_one_signal(tmp_path, received):
    """A scheduler signals each of them, a shell perhaps one."""
    workers = [
        get_context('fork').Process(target=_validate, args=(rank, number, tmp_path))
        for rank, number in enumerate(received)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [STATUS[received[1]]] * 2


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='workers are forked')
def test_a_worker_of_a_process_that_is_gone_ends():
    worker = os.fork()
    if not worker:
        os.getppid = lambda: 1
        start_worker(0, parent=2, then=None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 1

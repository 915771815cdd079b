"""Several processes train what one trains; if one of them dies, so do the others, and the run can go on."""

from __future__ import annotations

import pytest
import torch

from tests.processes.launch import KILLED, options, read_losses, start, train, wait

RUN = dict(
    train_cfg__max_epochs=2,
    auto_scale_lr__base_batch_size=2,
    train_dataloader__dataset__indices=12,
    model__data_preprocessor__type='DoublePreprocessor',
)


def record(folder, kill=''):
    """Options that write the losses into a folder, and kill the process of a rank in some iteration."""
    folder.mkdir(exist_ok=True)
    name = 'default_hooks__recorder__'
    return {f'{name}type': 'Recorder', f'{name}folder': folder} | ({f'{name}kill': kill} if kill else {})


@pytest.mark.fault(
    'one of several processes is killed',
    'the others end, with an error',
    'the others end, with an error; `--resume` goes on and ends as one process ends on the whole batch',
)
@pytest.mark.parametrize('first', [2, pytest.param(1, marks=pytest.mark.heavy)])
def test_two_processes_equal_one_and_go_on_after_a_kill(folder, first):
    """With synchronized batch norms, half of the batch each and ``--auto-scale-lr``.

    Before the kill there are two processes, or one with the whole batch.
    """
    one = options(**RUN, train_dataloader__batch_size=4, **record(folder / 'one'))
    assert train(folder, '--no-validate', '--auto-scale-lr', '--work-dir', 'one', *one) == [0]

    halves = dict(RUN, train_dataloader__batch_size=2, sync_bn='torch', model__recompute=True)
    killed = options(**halves, **record(folder / 'two', kill=f'{first - 1},5'))
    resumed = options(**halves, **record(folder / 'two'))
    command = ('--no-validate', '--auto-scale-lr', '--work-dir', 'two')
    if first == 1:
        killed.append('train_dataloader.batch_size=4')
    *survivors, victim = start(folder, *command, *killed, processes=first)
    assert wait([victim]) == [KILLED]
    assert wait(survivors, 60) == [1] * len(survivors)
    assert (folder / 'two' / 'epoch_1.pth').is_file()
    assert train(folder, *command, '--resume', *resumed, processes=2) == [0, 0]

    assert 'Scaling the original LR by 2.0' in (folder / 'output_0').read_text()
    expected, found = (read_losses(folder / name) for name in ('one', 'two'))
    assert list(expected) == list(found) == [1, 2, 3, 4, 5, 6]
    assert found == pytest.approx(expected, rel=1e-9)
    weights = (torch.load(folder / name / 'epoch_2.pth')['state_dict'] for name in ('one', 'two'))
    torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-9)

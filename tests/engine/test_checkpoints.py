import errno
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import load_checkpoint
from torch import nn

from mmdualhead.engine.checkpoints import (
    AtomicBackend,
    UnreadableCheckpointError,
    find_resumable,
    load_from_local,
    match,
    non_finite,
)


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.fixture
def save(tmp_path):
    def save(name='epoch_1.pth', **content):
        whole = {'meta': {'iter': 1}, 'state_dict': {}, 'message_hub': {}, 'optimizer': {}}
        torch.save({**whole, **content}, tmp_path / name)
        return tmp_path / name

    return save


class TestLoadFromLocal:
    def test_reads_what_mmengine_writes(self, save):
        path = save(history=HistoryBuffer([1.0, 3.0], [1, 1]), best=np.float64(0.5), weight=torch.ones(2))
        checkpoint = load_from_local(path)
        assert checkpoint['history'].mean() == 2
        assert checkpoint['best'] == 0.5
        torch.testing.assert_close(checkpoint['weight'], torch.ones(2))

    @pytest.mark.parametrize(
        'code',
        [
            Calls(os.system, 'touch pwned'),
            Calls(eval, 'open("pwned", "w")'),
            Calls(getattr, str, 'format'),
            Calls(getattr, HistoryBuffer, '__init__'),
            Calls(getattr, HistoryBuffer.mean, '__globals__'),
        ],
    )
    def test_refuses_code(self, save, monkeypatch, tmp_path, code):
        monkeypatch.chdir(tmp_path)
        path = save(meta=code)
        with pytest.raises(UnreadableCheckpointError, match=f'{path} is refused'):
            load_from_local(path)
        assert not Path('pwned').exists()

    def test_drops_the_program_that_mmengine_would_execute(self, save):
        path = save(meta={'config': 'import os', 'cfg': 'a = 1'})
        assert load_from_local(path)['meta'] == {'cfg': 'a = 1'}

    @pytest.mark.parametrize('keep', [0, 10, -30])
    def test_damage_is_reported_with_the_path(self, save, keep):
        path = save(weight=torch.randn(1000))
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UnreadableCheckpointError, match=str(path)):
            load_from_local(path)

    def test_other_files_are_reported_with_the_path(self, tmp_path):
        (tmp_path / 'notes.pth').write_text('hello')
        torch.save(torch.ones(1), tmp_path / 'tensor.pth')
        for name, complaint in (
            ('notes', 'is damaged'),
            ('tensor', 'holds a Tensor'),
            ('x', 'does not exist'),
        ):
            with pytest.raises(
                (UnreadableCheckpointError, FileNotFoundError), match=f'{name}.pth {complaint}'
            ):
                load_from_local(tmp_path / f'{name}.pth')

    def test_mmengine_reads_through_it(self, save):
        with pytest.raises(UnreadableCheckpointError):
            load_checkpoint(nn.Linear(1, 1), str(save(meta=Calls(os.getcwd))))


class TestMatch:
    def test_full(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        weights = model.state_dict()
        assert match(model, {'state_dict': weights}).is_full
        assert match(model, weights).is_full
        weights.pop('1.num_batches_tracked')
        assert match(model, {'state_dict': {f'module.{k}': v for k, v in weights.items()}}).is_full

    def test_looks_into_wrappers(self):
        wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
        nn.Module.__init__(wrapped)
        wrapped.module = nn.Linear(2, 2)
        assert match(wrapped, {'state_dict': wrapped.module.state_dict()}).is_full

    def test_lists_a_few_names(self):
        fit = match(nn.Linear(2, 2), {'state_dict': {f'w{i}': torch.ones(1) for i in range(20)}})
        assert not fit.is_full
        assert '20 not in the model: w0, w1, w2, w3, w4, w5, w6, w7 and 12 more' in str(fit)


def test_non_finite_looks_at_floating_point_numbers_only():
    weights = {
        'good': torch.ones(2),
        'count': torch.ones(1, dtype=torch.long),
        'bad': torch.tensor([1, float('nan')]),
        'half': torch.tensor([float('inf')]).half(),
        'name': 'x',
    }
    assert non_finite(weights) == ['bad', 'half']


class TestFindResumable:
    def test_empty_or_absent_folder(self, tmp_path):
        assert find_resumable(tmp_path) == (None, [])
        assert find_resumable(tmp_path / 'absent') == (None, [])

    def test_pointer_wins_over_newer_files(self, save, tmp_path):
        named, newer = save('epoch_1.pth'), save('epoch_2.pth')
        os.utime(named, (1, 1))
        assert find_resumable(tmp_path) == (newer, [])
        (tmp_path / 'last_checkpoint').write_text(f'{named}\n')
        assert find_resumable(tmp_path) == (named, [])

    def test_pointer_to_another_folder(self, save, tmp_path):
        named = save()
        work_dir = tmp_path / 'run'
        work_dir.mkdir()
        (work_dir / 'last_checkpoint').write_text(str(named))
        assert find_resumable(work_dir) == (named, [])

    @pytest.mark.parametrize('pointer', ['', '/nowhere/epoch_9.pth'])
    def test_useless_pointer(self, save, tmp_path, pointer):
        path = save()
        (tmp_path / 'last_checkpoint').write_text(pointer)
        assert find_resumable(tmp_path) == (path, [])

    def test_damaged_files_are_passed_over_with_the_reason(self, save, tmp_path):
        whole, damaged = save('epoch_1.pth'), save('epoch_2.pth')
        damaged.write_bytes(damaged.read_bytes()[:100])
        (tmp_path / 'last_checkpoint').write_text(str(damaged))
        path, passed_over = find_resumable(tmp_path)
        assert path == whole
        assert len(passed_over) == 1
        assert str(damaged) in passed_over[0]

    def test_weights_alone_are_no_training_to_resume(self, tmp_path):
        torch.save({'state_dict': {}, 'meta': {}}, tmp_path / 'best.pth')
        assert find_resumable(tmp_path) == (None, [])


class TestAtomicBackend:
    def test_round_trip_makes_folders(self, tmp_path):
        path = tmp_path / 'a' / 'b.pth'
        AtomicBackend().put(b'new', path)
        AtomicBackend().put_text('newer', path)
        assert path.read_text() == 'newer'
        assert [p.name for p in path.parent.iterdir()] == ['b.pth']

    @pytest.mark.parametrize('fails', ['fsync', 'replace'])
    def test_failure_leaves_the_old_file_and_nothing_else(self, tmp_path, fails):
        path = tmp_path / 'epoch_1.pth'
        path.write_bytes(b'old')
        with (
            mock.patch(f'os.{fails}', side_effect=OSError(errno.ENOSPC, 'No space left on device')),
            pytest.raises(OSError, match=f'{path} could not be written: No space left'),
        ):
            AtomicBackend().put(b'new', path)
        assert path.read_bytes() == b'old'
        assert list(tmp_path.iterdir()) == [path]

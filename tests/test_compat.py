import importlib
import io
import logging
import os
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

import mmdualhead
from mmdualhead import compat


@pytest.fixture
def no_allowed_globals():
    """torch as if nobody had allowed it anything."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.fixture
def no_drn(monkeypatch):
    """MMAction2's localizers/drn not loaded, whether it is there or stood in for."""
    for name in [name for name in sys.modules if name.startswith(compat.DRN_PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)


def install(monkeypatch, folder, *, with_drn):
    """Make ``folder`` the place where mmaction is installed."""
    package = folder / 'models' / 'localizers' / 'drn'
    package.mkdir(parents=True)
    if with_drn:
        (package / 'drn.py').touch()
    found = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(compat, 'find_spec', lambda name: {'mmaction': found}[name])


def load(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file)


class TestApply:
    def test_logs_only_what_was_needed(self, monkeypatch, caplog):
        monkeypatch.setattr(compat, 'REPAIRS', {'broken': lambda: True, 'healthy': lambda: False})
        with caplog.at_level(logging.DEBUG, 'mmdualhead'):
            assert compat.apply() == ['broken']
        assert [(record.levelname, record.message) for record in caplog.records] == [
            ('DEBUG', 'repaired: broken')
        ]

    def test_nothing_is_left_to_repair_after_import(self):
        assert compat.apply() == []
        assert isinstance(mmdualhead.REPAIRED, list)


@pytest.mark.usefixtures('no_drn')
class TestDrn:
    @pytest.mark.parametrize('with_drn', [True, False])
    def test_is_needed_where_the_module_is_absent(self, monkeypatch, tmp_path, with_drn):
        install(monkeypatch, tmp_path, with_drn=with_drn)
        assert compat.add_drn() != with_drn

    def test_stand_in_can_be_imported_and_says_what_it_is(self, monkeypatch, tmp_path):
        install(monkeypatch, tmp_path, with_drn=False)
        assert compat.add_drn()
        assert not compat.add_drn()
        module = importlib.import_module('mmaction.models.localizers.drn.drn')
        with pytest.raises(ImportError, match='lacks DRN'):
            module.DRN(0, feature_dim=1)


@pytest.mark.usefixtures('no_allowed_globals')
class TestCheckpoints:
    def test_is_needed_where_torch_refuses_a_message_hub(self):
        with pytest.raises(pickle.UnpicklingError):
            load(HistoryBuffer([1.0], [1]))
        assert compat.allow_own_checkpoints()
        assert not compat.allow_own_checkpoints()

    def test_is_not_needed_where_torch_reads_everything(self, monkeypatch):
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
        assert not compat.allow_own_checkpoints()

    def test_message_hub_makes_the_round_trip(self):
        compat.allow_own_checkpoints()
        hub = MessageHub.get_instance('round trip')
        for loss in (3, 1.0):
            hub.update_scalar('train/loss', loss)
        for number in (np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True)):
            hub.update_info(type(number).__name__, number)
        hub.update_info('matrix', np.arange(6.0).reshape(2, 3))
        loaded = load(hub.state_dict())
        assert loaded['log_scalars']['train/loss'].statistics('mean', 2) == 2
        assert loaded['log_scalars']['train/loss'].min() == 1
        assert loaded['runtime_info']['float64'] == 0.5
        np.testing.assert_array_equal(loaded['runtime_info']['matrix'], np.arange(6.0).reshape(2, 3))

    @pytest.mark.parametrize('core', [b'numpy._core.multiarray', b'numpy.core.multiarray'])
    def test_reads_what_either_numpy_wrote(self, core):
        compat.allow_own_checkpoints()
        scalar = b'\x80\x02c' + core + b'\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R'
        state = b'(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
        data = b'c_codecs\nencode\nX\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00@X\x06\x00\x00\x00latin1\x86R'
        value = torch._weights_only_unpickler.load(io.BytesIO(scalar + state + data + b'\x86R.'))
        assert value == 2.0

    @pytest.mark.parametrize(
        ('function', 'arguments'),
        [
            (os.system, ('true',)),
            (eval, ('1',)),
            (getattr, ('', 'join')),
            (getattr, (HistoryBuffer, '__init__')),
            (getattr, (HistoryBuffer.mean, '__globals__')),
            (np.load, ('file.npy', None, True)),
        ],
    )
    def test_opens_nothing_else(self, function, arguments):
        class Call:
            def __reduce__(self):
                return function, arguments

        compat.allow_own_checkpoints()
        with pytest.raises(pickle.UnpicklingError):
            load(Call())

    def test_object_arrays_stay_refused(self):
        compat.allow_own_checkpoints()
        with pytest.raises(pickle.UnpicklingError):
            load(np.array([{}], dtype=object))


class TestDistributed:
    @pytest.mark.parametrize('has_gpu', [True, False])
    def test_devices_are_ignored_where_torch_finds_no_gpu(self, monkeypatch, has_gpu):
        from mmengine.model import MMDistributedDataParallel

        given = {}
        monkeypatch.setattr(torch.cuda, 'set_device', lambda device: given.update(device=device))
        monkeypatch.setattr(MMDistributedDataParallel, '__init__', lambda _, **kwargs: given.update(kwargs))
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: has_gpu)
        assert compat.distribute_without_cuda() != has_gpu
        torch.cuda.set_device(0)
        MMDistributedDataParallel(module=torch.nn.Linear(1, 1), device_ids=[0])
        assert given['device_ids'] == ([0] if has_gpu else None)
        assert ('device' in given) == has_gpu


class TestHeads:
    @pytest.mark.fault(
        "training in bfloat16 with MMAction2's heads",
        'TypeError: Got unsupported ScalarType BFloat16',
        'loss and accuracy in float32',
    )
    def test_scores_in_bfloat16(self):
        from mmaction.models.heads import GCNHead
        from mmaction.structures import ActionDataSample

        head = GCNHead(num_classes=3, in_channels=4)
        scores = torch.eye(3, dtype=torch.bfloat16, requires_grad=True)
        samples = [ActionDataSample().set_gt_label(i) for i in (0, 1, 0)]
        losses = head.loss_by_feat(scores, samples)
        losses['loss_cls'].backward()
        assert losses['loss_cls'].dtype == torch.float32
        assert scores.grad.dtype == torch.bfloat16
        assert losses['top1_acc'].item() == pytest.approx(2 / 3)
        torch.testing.assert_close(losses['loss_cls'], head.loss_by_feat(scores.float(), samples)['loss_cls'])

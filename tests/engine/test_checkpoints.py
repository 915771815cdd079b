import os
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.apis import init_recognizer
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from mmdualhead.engine.checkpoints import (
    READERS,
    AtomicBackend,
    Checkpoint,
    any_weights,
    load_from_local,
    mmengine_readers,
    newest_checkpoint,
    non_finite,
)
from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


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
    @pytest.mark.fault(
        'checkpoint file that holds code', 'blocked since torch 2.6', 'never runs: refused by name'
    )
    def test_refuses_code(self, save, monkeypatch, tmp_path, code):
        monkeypatch.chdir(tmp_path)
        path = save(meta=code)
        with pytest.raises(UserError, match=f'{path} is refused'):
            load_from_local(path)
        assert not Path('pwned').exists()

    def test_drops_the_program_that_mmengine_would_execute(self, save):
        path = save(meta={'config': 'import os', 'cfg': 'a = 1'})
        assert load_from_local(path)['meta'] == {'cfg': 'a = 1'}

    @pytest.mark.parametrize('keep', [0, 10, -30])
    def test_damage_is_reported_with_the_path(self, save, keep):
        path = save(weight=torch.randn(1000))
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UserError, match=str(path)):
            load_from_local(path)

    def test_other_files_are_reported_with_the_path(self, tmp_path):
        (tmp_path / 'notes.pth').write_text('hello')
        torch.save(torch.ones(1), tmp_path / 'tensor.pth')
        for name, complaint in (
            ('notes', 'is damaged'),
            ('tensor', 'contains a Tensor'),
        ):
            with pytest.raises(UserError, match=f'{name}.pth {complaint}'):
                load_from_local(tmp_path / f'{name}.pth')
        with pytest.raises(FileNotFoundError, match=r'does not exist: .*x\.pth'):
            load_from_local(tmp_path / 'x.pth')

    def test_mmengine_reads_through_it(self, save):
        with pytest.raises(UserError):
            load_checkpoint(nn.Linear(1, 1), str(save(meta=Calls(os.getcwd))))

    @pytest.mark.parametrize(
        ('content', 'complaint'),
        [
            ({'state_dict': [1]}, 'its state_dict is a list'),
            ({'state_dict': None}, 'its state_dict is a NoneType'),
            ({'state_dict': {3: torch.ones(1)}}, 'it has the key 3'),
            ({5: torch.ones(1)}, 'it has the key 5'),
        ],
    )
    @pytest.mark.fault(
        'checkpoint without weights by name',
        '-',
        'refused, with path and reason',
    )
    def test_what_has_no_weights_by_name_is_refused(self, tmp_path, content, complaint):
        torch.save(content, tmp_path / 'x.pth')
        with pytest.raises(UserError, match=f'x.pth is not a checkpoint: .*{complaint}'):
            load_from_local(tmp_path / 'x.pth')

    @pytest.mark.parametrize(
        ('meta', 'complaint'),
        [
            (['cfg'], 'its meta is a list, expected a dict'),
            ({'epoch': '3'}, r"meta\['epoch'\] in it is a str, expected a int"),
            ({'iter': True}, r"meta\['iter'\] in it is a bool"),
            ({'cfg': {'a': 1}}, r"meta\['cfg'\] in it is a dict, expected a str"),
            ({'dataset_meta': [1]}, r"meta\['dataset_meta'\] in it is a list"),
        ],
    )
    @pytest.mark.fault('meta of a checkpoint of a wrong kind', '-', 'refused, with path, key and kind')
    def test_meta_of_a_wrong_kind_is_refused(self, save, meta, complaint):
        path = save(meta=meta)
        with pytest.raises(UserError, match=f'{path}: {complaint}'):
            load_from_local(path)
        assert newest_checkpoint(path.parent)[0] is None

    @pytest.mark.fault('a bit of a checkpoint flips', '-', 'refused: the checksum is wrong')
    def test_a_flipped_bit_is_found(self, save):
        path = save(weight=torch.arange(1000.0))
        content = bytearray(path.read_bytes())
        content[content.index(torch.tensor([500.0, 501.0]).numpy().tobytes())] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=f'{path} is damaged .*checksum of'):
            load_from_local(path)

    @pytest.mark.fault('checkpoint of 2 kB that asks for 8 GiB', '-', 'refused')
    def test_asking_for_gigabytes_is_refused(self, save):
        with pytest.raises(UserError, match='makes bytearray of a int'):
            load_from_local(save(meta=Calls(bytearray, 8 << 30)))

    def test_a_packed_bomb_is_refused(self, save, tmp_path):
        with zipfile.ZipFile(save()) as whole, zipfile.ZipFile(tmp_path / 'b.pth', 'w', 8) as packed:
            for member in whole.infolist():
                packed.writestr(member.filename, whole.read(member))
        with pytest.raises(UserError, match='its contents are compressed'):
            load_from_local(tmp_path / 'b.pth')


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url(tmp_path, monkeypatch):
    """Where ``tmp_path`` is served; downloads go to ``tmp_path/hub``."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


class TestReaders:
    def test_every_scheme_of_mmengine_has_a_safe_reader(self):
        assert {prefix: reader for prefix, reader in CheckpointLoader._schemes.items()} == READERS

    @pytest.mark.parametrize(
        'scheme', ['http', 'openmmlab', 'open-mmlab', 'torchvision', 'modelzoo', 'mmcls']
    )
    @pytest.mark.fault('checkpoint URL whose file holds code', 'the code runs', 'never runs: refused by name')
    def test_downloads_without_running_code(self, save, url, tmp_path, monkeypatch, scheme):
        for table in ('torchvision', 'external', 'mmcls'):
            names = {name: f'{url}/{name}.pth' for name in ('good', 'evil')}
            monkeypatch.setattr(f'mmengine.runner.checkpoint.get_{table}_models', lambda n=names: n)
        save('good.pth', state_dict={'backbone.w': torch.ones(2)})
        save('evil.pth', meta=Calls(os.system, f'touch {tmp_path}/pwned'))
        prefix, suffix = (url, '.pth') if scheme == 'http' else (f'{scheme}:/', '')
        weights = CheckpointLoader.load_checkpoint(f'{prefix}/good{suffix}')['state_dict']
        assert list(weights) == ['w' if scheme == 'mmcls' else 'backbone.w']
        with pytest.raises(UserError, match='is refused'):
            CheckpointLoader.load_checkpoint(f'{prefix}/evil{suffix}')
        assert not (tmp_path / 'pwned').exists()

    def test_equal_file_names_of_two_urls_are_told_apart(self, save, url, tmp_path):
        for folder in 'ab':
            (tmp_path / folder).mkdir()
            save(f'{folder}/epoch_1.pth', meta={'from': folder})
        for folder in 'ab':
            loaded = CheckpointLoader.load_checkpoint(f'{url}/{folder}/epoch_1.pth')
            assert loaded['meta']['from'] == folder

    def test_failed_download_names_the_command(self, url):
        with pytest.raises(UserError, match=f'curl -fLO {url}/absent.pth'):
            CheckpointLoader.load_checkpoint(f'{url}/absent.pth')

    @pytest.mark.parametrize(
        ('name', 'said'),
        [
            ('s3://bucket/x.pth', 'aws s3 cp s3://bucket/x.pth'),
            ('openmmlab:s3://bucket/x.pth', 'aws s3 cp s3://bucket/x.pth'),
            ('petrel://x.pth', 'Download it'),
            ('pavi://x.pth', 'Download it'),
            ('openmmlab://nothing', "no model named 'nothing'"),
        ],
    )
    @pytest.mark.fault(
        'checkpoint on S3, Petrel or Pavi',
        '-',
        'refused, with the command that downloads it',
    )
    def test_others_are_refused_with_what_to_do(self, name, said):
        with pytest.raises(UserError, match=said):
            CheckpointLoader.load_checkpoint(name)

    def test_the_way_out(self, save):
        path = save(meta={'config': 'a = 1'})
        with mmengine_readers():
            assert CheckpointLoader.load_checkpoint(str(path))['meta'] == {'config': 'a = 1'}
        assert CheckpointLoader.load_checkpoint(str(path))['meta'] == {}

    def test_the_way_out_is_not_one_for_other_threads(self, save):
        path = save(meta={'config': 'a = 1'})
        found = []
        with mmengine_readers():
            thread = threading.Thread(
                target=lambda: found.append(CheckpointLoader.load_checkpoint(str(path))['meta'])
            )
            thread.start()
            thread.join()
        assert found == [{}]


class TestFits:
    def test_full(self):
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        weights = model.state_dict()
        assert Checkpoint('x.pth', {'state_dict': weights}).fits(model).is_full
        assert Checkpoint('x.pth', weights).fits(model).is_full
        weights.pop('1.num_batches_tracked')
        assert (
            Checkpoint('x.pth', {'state_dict': {f'module.{k}': v for k, v in weights.items()}})
            .fits(model)
            .is_full
        )

    def test_looks_into_wrappers(self):
        wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
        nn.Module.__init__(wrapped)
        wrapped.module = nn.Linear(2, 2)
        assert Checkpoint('x.pth', {'state_dict': wrapped.module.state_dict()}).fits(wrapped).is_full

    def test_lists_a_few_names(self):
        fit = Checkpoint('x.pth', {f'w{i}': torch.ones(1) for i in range(20)}).fits(nn.Linear(2, 2))
        assert not fit.is_full
        assert '20 not in the model: w0, w1, w2, w3, w4, w5, w6, w7 and 12 more' in str(fit)


class TestInitRecognizer:
    @pytest.fixture
    def config(self):
        backbone = {'type': 'STGCN', 'graph_cfg': {'layout': 'coco', 'mode': 'spatial'}, 'base_channels': 4}
        backbone |= {'num_stages': 1, 'inflate_stages': [], 'down_stages': []}
        head = {'type': 'GCNHead', 'num_classes': 2, 'in_channels': 4}
        return Config({'model': {'type': 'RecognizerGCN', 'backbone': backbone, 'cls_head': head}})

    @pytest.mark.parametrize(
        ('spoil', 'complaint'),
        [
            (lambda _: {'other': torch.ones(1)}, ' does not fit the model .*: 0 of .* weights fit'),
            (lambda _: {}, '0 of .* weights fit'),
            (
                lambda w: {**w, 'cls_head.fc.bias': torch.ones(3)},
                r'cls_head.fc.bias \(3,\) instead of \(2,\)',
            ),
            (
                lambda w: {**w, 'cls_head.fc.bias': torch.tensor([0, torch.nan])},
                ': 1 weights are not finite, cls_',
            ),
        ],
    )
    @pytest.mark.fault(
        '`init_recognizer` with a foreign or empty checkpoint, or one with NaN',
        'prints a warning; the answers are worthless',
        'error; `any_weights()` loads what fits',
    )
    def test_takes_no_other_weights(self, config, tmp_path, spoil, complaint):
        weights = init_recognizer(config, device='cpu').state_dict()
        path = str(tmp_path / 'x.pth')
        torch.save({'state_dict': spoil(weights)}, path)
        with pytest.raises(UserError, match=f'{path}.*{complaint}.*If this is intended, use .*any_weights'):
            init_recognizer(config, path, device='cpu')
        with any_weights():
            init_recognizer(config, path, device='cpu')
        torch.save({'state_dict': weights}, path)
        loaded = init_recognizer(config, path, device='cpu').state_dict()
        torch.testing.assert_close(loaded, weights)


def test_non_finite_looks_at_floating_point_numbers_only():
    weights = {
        'good': torch.ones(2),
        'count': torch.ones(1, dtype=torch.long),
        'bad': torch.tensor([1, float('nan')]),
        'half': torch.tensor([float('inf')]).half(),
        'name': 'x',
    }
    assert non_finite(weights) == ['bad', 'half']


class TestCheckpoint:
    def test_reads_what_it_saves(self, tmp_path):
        content = {'meta': {'epoch': 3, 'cfg': 'a = 1'}, 'state_dict': {'module.w': torch.ones(2)}}
        Checkpoint('new', content).save(tmp_path / 'a' / 'x.pth')
        checkpoint = Checkpoint.read(tmp_path / 'a' / 'x.pth')
        assert checkpoint.meta['epoch'] == 3
        assert checkpoint.lacks == ['message_hub', 'optimizer']
        torch.testing.assert_close(checkpoint.weights, {'w': torch.ones(2)})

    def test_keeps_no_view_of_what_could_not_be_written(self, monkeypatch):
        """Python 3.12 crashes when it collects one together with the traceback."""
        views = []

        def put(_, content, path):
            views.append(content)
            raise OSError(path)

        monkeypatch.setattr(AtomicBackend, 'put', put)
        with pytest.raises(OSError, match=r'x\.pth'):
            Checkpoint('new', {'state_dict': {}}).save('x.pth')
        with pytest.raises(ValueError, match='released'):
            views[0].tobytes()

    def test_says_what_its_network_takes(self, tmp_path):
        taken = NetworkInput(stream='b', num_person=1)
        Checkpoint('new', {'meta': {'network_input': taken.to_meta()}, 'state_dict': {}}).save(
            tmp_path / 'x.pth'
        )
        assert Checkpoint.read(tmp_path / 'x.pth').input == taken

    def test_check_names_the_file_and_the_weight(self):
        model = nn.Linear(2, 2)
        Checkpoint('x.pth', model.state_dict()).check(model)
        weights = {**model.state_dict(), 'bias': torch.tensor([0, torch.nan])}
        with pytest.raises(UserError, match=r'^x\.pth: 1 weights are not finite, bias first$'):
            Checkpoint('x.pth', weights).check(model)
        with pytest.raises(UserError, match=r'^x\.pth does not fit the model .*: 0 of 2 weights fit'):
            Checkpoint('x.pth', {}).check(model)


class TestAtomicBackend:
    def test_round_trip_makes_folders(self, tmp_path):
        path = tmp_path / 'a' / 'b.pth'
        AtomicBackend().put(b'new', path)
        AtomicBackend().put(b'newer', path)
        assert path.read_text() == 'newer'
        assert [p.name for p in path.parent.iterdir()] == ['b.pth']

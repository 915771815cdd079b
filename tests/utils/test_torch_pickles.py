import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdualhead.engine.checkpoints import load_from_local
from mmdualhead.errors import UserError
from mmdualhead.utils.torch_pickles import check_checkpoint, load_score_pickle
from tests.utils import hostile


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'x.pth'
        path.write_bytes(content)
        return path

    return write


@pytest.mark.fault(
    'checkpoint that enlarges the elements of an array once it has its memory',
    '-',
    'the array stays as it was built',
)
def test_an_array_keeps_its_memory(write):
    path = write(hostile.checkpoint(hostile.meta(hostile.growing_array(latin=True))))
    code = f"""
import mmdualhead, torch
from mmdualhead.engine.checkpoints import load_from_local
for found in load_from_local({str(path)!r}), torch.load({str(path)!r}):
    print(found['meta']['seen'][0])
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, [str(np.array(['a'] * 8))] * 2), done.stderr


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        (hostile.state_dict(hostile.tensor((5,), (1,))), 'exceeds its 4 elements'),
        (hostile.state_dict(hostile.tensor((2,), (4,))), 'exceeds its 4 elements'),
        (hostile.state_dict(hostile.tensor((2,), (1,), offset=3)), 'exceeds its 4 elements'),
        (hostile.state_dict(hostile.tensor((10**6,), (0,))), 'exceeds its 4 elements'),
        (hostile.state_dict(hostile.tensor((2,), (-1,))), 'negative or of too large sizes'),
        (hostile.state_dict(hostile.tensor((4,), (1,), elements=400)), 'storage of 1,600 bytes'),
        (hostile.meta(b'}' + hostile.nested() + b'Ns'), 'tuple as a key'),
        (hostile.meta(hostile.nested()), 'more work'),
        (hostile.meta(b')' + b'\x85' * 1000), 'more than 64 levels'),
        (hostile.meta(b']' * 1000 + b'a' * 999), 'more than 64 levels'),
    ],
)
@pytest.mark.fault(
    'checkpoint with a tensor beyond its bytes, or one that takes years to hash', '-', 'refused'
)
def test_what_a_checkpoint_can_t_mean_is_refused(write, content, complaint):
    path = write(hostile.checkpoint(content))
    with pytest.raises(UserError, match=f'{path}.*{complaint}'):
        load_from_local(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_usual_checkpoints_pass(zipped):
    module = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 2), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 3, 4)).sum().backward()
    optimizer.step()
    kinds = [torch.half, torch.bfloat16, torch.bool, *([torch.uint16] if zipped else [])]
    content = dict(
        state_dict=module.state_dict(),
        optimizer=optimizer.state_dict(),
        parameters=list(module.parameters()),
        types=[torch.ones(2, dtype=kind) for kind in kinds],
        view=torch.ones(3, 4).t()[1:],
        empty=torch.ones(0, 3),
        number=torch.tensor(3.0),
        message_hub=dict(log=HistoryBuffer([1.0], [1]), kind=torch.float32, device=torch.device('cpu')),
        numbers=[np.float64(2), np.arange(3), np.arange(3, dtype='>i4')],
    )
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    check_checkpoint(file)
    file.seek(0)
    found = torch.load(file)
    np.testing.assert_array_equal(found['numbers'][1], np.arange(3))
    assert found['message_hub']['log'].current() == 1


def test_arrays_of_checkpoints_are_saved_as_arrays():
    def save(content):
        file = io.BytesIO()
        torch.save(content, file)
        file.seek(0)
        return file

    found = torch.load(save(torch.load(save([np.arange(3)]))))
    np.testing.assert_array_equal(found[0], np.arange(3))
    assert type(pickle.loads(pickle.dumps(found[0]))) is np.ndarray


@pytest.mark.parametrize(('size', 'stride'), [((5,), (1,)), ((10**9,), (0,)), ((2,), (4,)), ((2,), (-1,))])
def test_tensors_of_scores_stay_in_their_storage(write, size, stride):
    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (torch.ones(4).storage(), 0, size, stride, False, {})

    path = write(pickle.dumps([dict(pred_score=Tensor())]))
    with pytest.raises(UserError, match=f'{path}.*(exceeds|negative)'):
        load_score_pickle(path)

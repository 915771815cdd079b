import os
import signal

import pytest
import torch
from mmengine.config import Config

from mmdualhead.errors import UserError
from mmdualhead.utils.files import FolderLock
from tests.engine.hooks.conftest import rewrite


def test_full_match_loads(make_runner, trained):
    runner = make_runner(load_from=str(trained))
    runner.test()
    torch.testing.assert_close(runner.model.fc.weight, torch.load(trained)['state_dict']['fc.weight'])


def test_weights_saved_from_a_wrapper_load(make_runner, trained):
    weights = {f'module.{name}': value for name, value in torch.load(trained)['state_dict'].items()}
    rewrite(trained, state_dict=weights)
    runner = make_runner(load_from=str(trained))
    runner.test()
    torch.testing.assert_close(runner.model.fc.weight, weights['module.fc.weight'])


@pytest.mark.parametrize(
    ('spoil', 'complaint'),
    [
        (
            lambda _: {'state_dict': {}},
            '0 of 2 weights fit; 2 missing in the checkpoint: fc.weight, fc.bias',
        ),
        (lambda w: {'model': w}, r"1 not in the model: model.*It has no state_dict, but \['model'\]"),
        (lambda _: {}, '0 of 2 weights fit'),
        (lambda w: {'state_dict': {'fc.weight': w['fc.weight']}}, '1 of 2 weights fit; .*: fc.bias'),
        (
            lambda w: {'state_dict': {f'head.{k}': v for k, v in w.items()}},
            '2 missing in the checkpoint: .*; 2 not in the model: head.fc.weight, head.fc.bias',
        ),
    ],
)
@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.fault(
    'test of a checkpoint that does not fit',
    'continues with random weights',
    'refused, names what is missing',
)
def test_test_refuses_what_does_not_fit(make_runner, trained, spoil, complaint, strict):
    torch.save(spoil(torch.load(trained)['state_dict']), trained)
    hooks = {'load_check': {'type': 'LoadCheckHook', 'strict': strict}}
    with pytest.raises(ValueError, match=complaint):
        make_runner(load_from=str(trained), hooks=hooks).test()


def test_other_number_of_classes_is_refused_with_both_shapes(make_runner, trained):
    with pytest.raises(
        ValueError, match=r'2 of another shape: fc.weight \(2, 2\) instead of \(3, 2\), fc.bias'
    ):
        make_runner(classes=3, load_from=str(trained)).test()


def test_fine_tuning_is_opt_in(make_runner, trained, warnings, tmp_path):
    trained = trained.rename(tmp_path / 'other.pth')
    weights = torch.load(trained)['state_dict']
    rewrite(trained, state_dict={'fc.weight': weights['fc.weight'] + 7})
    with pytest.raises(ValueError, match=r'default_hooks\.load_check\.strict=False'):
        make_runner(load_from=str(trained)).train()

    lenient = {'load_check': {'type': 'LoadCheckHook', 'strict': False}}
    runner = make_runner(load_from=str(trained), hooks=lenient, epochs=1, rate=1e-9)
    log = warnings(runner)
    runner.train()
    assert 'fits in part: 1 of 2 weights fit; 1 missing in the checkpoint: fc.bias' in log.text
    torch.testing.assert_close(runner.model.fc.weight, weights['fc.weight'] + 7)


def test_fine_tuning_from_nothing_that_fits_is_refused(make_runner, tmp_path):
    trained = tmp_path / 'other.pth'
    torch.save({'state_dict': {'other': torch.zeros(1)}}, trained)
    lenient = {'load_check': {'type': 'LoadCheckHook', 'strict': False}}
    with pytest.raises(ValueError, match='0 of 2 weights fit'):
        make_runner(load_from=str(trained), hooks=lenient).train()


def test_code_in_a_checkpoint_is_not_run_on_resume(make_runner, trained, tmp_path):
    meta = torch.load(trained)['meta']
    rewrite(trained, meta={**meta, 'config': f'open({str(tmp_path / "pwned")!r}, "w")'})
    make_runner(resume=True).train()
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.fault('--resume with nothing there', 'trains from scratch', 'said loudly')
def test_nothing_to_resume_is_said_loudly(make_runner, warnings):
    runner = make_runner(resume=True, epochs=1)
    log = warnings(runner)
    runner.train()
    assert 'NOTHING TO RESUME' in log.text
    assert 'starts from scratch' in log.text


@pytest.mark.parametrize('given', ['in the config', 'as an option'])
@pytest.mark.fault(
    '`--resume` of a fine-tuning with nothing there',
    'random weights; with `--cfg-options load_from`, resumes that file instead of the work_dir',
    'starts from load_from; resumes the work_dir afterwards',
)
def test_resume_keeps_the_weights_to_start_from(make_runner, trained, warnings, monkeypatch, tmp_path, given):
    weights = trained.rename(tmp_path / 'weights.pth')
    (tmp_path / 'config.py').write_text(f'load_from = {str(weights)!r}')
    monkeypatch.setattr('sys.argv', ['train', 'config.py', '--resume', '--work-dir', 'run'])
    settings = dict(resume=True, rate=1e-9, load_from=str(weights) if given == 'as an option' else None)

    def train(epochs):
        runner = make_runner(epochs=epochs, **settings)
        runner.cfg = Config.fromfile(tmp_path / 'config.py')
        log = warnings(runner)
        runner.train()
        return runner, log.text

    runner, log = train(1)
    assert f'starts from the weights of {weights}' in log
    start = torch.load(weights)['state_dict']['fc.weight']
    torch.testing.assert_close(runner.model.fc.weight, start)
    runner, _ = train(2)
    assert runner._load_from == str(tmp_path / 'run' / 'epoch_1.pth')


def test_resume_falls_back_to_the_newest_whole_checkpoint(make_runner, tmp_path, warnings):
    make_runner(epochs=2, hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1}}).train()
    last = tmp_path / 'run' / 'epoch_2.pth'
    last.write_bytes(last.read_bytes()[:1000])
    runner = make_runner(epochs=3, resume=True)
    log = warnings(runner)
    runner.train()
    assert f'{last} is damaged' in log.text
    assert (tmp_path / 'run' / 'epoch_3.pth').is_file()
    assert runner._load_from == str(tmp_path / 'run' / 'epoch_1.pth')


def test_nothing_to_resume_is_said_once(make_runner, caplog):
    runner = make_runner(resume=True, epochs=1)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert 'Auto resumed' not in caplog.text


@pytest.mark.fault(
    'training into a folder that holds a run',
    'nothing is said',
    'error: --resume or another --work-dir',
)
def test_a_folder_with_a_run_is_refused(make_runner, trained):
    before = trained.read_bytes()
    with pytest.raises(UserError, match=r'run contains the checkpoints of a run. .*--resume.*--work-dir'):
        make_runner().train()
    assert trained.read_bytes() == before


def test_a_test_may_follow_the_training_in_one_process(make_runner):
    runner = make_runner()
    runner.train()
    assert 'acc' in str(runner.test())


@pytest.mark.fault('two trainings in one folder', 'nothing is said', 'error that names the running process')
def test_a_folder_in_use_is_refused(make_runner, tmp_path):
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        held = FolderLock(tmp_path / 'run' / 'training.lock')
        held.acquire()
        os.write(ready[1], b'x')
        signal.pause()
    os.read(ready[0], 1)
    with pytest.raises(UserError, match=rf'run is in use by process {child} on .*--work-dir'):
        make_runner().train()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    make_runner(epochs=1).train()


def test_what_a_killed_training_left_is_removed(make_runner, trained):
    left = trained.with_name('.epoch_2.pth.1234.partial')
    left.touch()
    make_runner(resume=True).train()
    assert not left.exists()


@pytest.mark.fault('--resume of a file of weights', '-', 'error: load_from')
def test_weights_alone_can_t_be_resumed(make_runner, trained, tmp_path):
    torch.save({'state_dict': torch.load(trained)['state_dict'], 'meta': {}}, tmp_path / 'w.pth')
    with pytest.raises(
        UserError, match=r'w\.pth cannot be resumed: it lacks message_hub, .*load_from=.*w\.pth'
    ):
        make_runner(resume=True, load_from=str(tmp_path / 'w.pth')).train()


def test_resume_works_after_the_folder_was_moved(make_runner, trained):
    (trained.parent / 'last_checkpoint').write_text('/somewhere/else/epoch_1.pth')
    runner = make_runner(epochs=2, resume=True)
    runner.train()
    assert runner._load_from == str(trained)
    assert runner.iter == 8

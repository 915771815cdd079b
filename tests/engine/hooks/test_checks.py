"""Each test shows a fault of a run and what the hooks make of it."""

import logging
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.hooks.checks import NonFiniteError
from mmdualhead.utils.files import FolderLock
from tests.engine.conftest import Clips

STREAM_J = {'type': 'SkeletonStream', 'stream': 'j'}


@pytest.fixture
def trained(make_runner, tmp_path):
    """A checkpoint of one epoch."""
    make_runner(epochs=1).train()
    return tmp_path / 'run' / 'epoch_1.pth'


@pytest.fixture
def warnings(caplog):
    """What mmengine's loggers, which don't propagate, warn of."""

    def of(runner):
        runner.logger.addHandler(caplog.handler)
        caplog.handler.setLevel(logging.WARNING)
        return caplog

    return of


def rewrite(path, **changes):
    """Change top-level entries of a checkpoint file."""
    checkpoint = torch.load(path)
    torch.save({**checkpoint, **changes}, path)


class TestFiniteCheckHook:
    @pytest.mark.fault(
        'a NaN in one training clip',
        'loss nan to the end; NaN weights saved as best',
        'stops at its batch, names the clip',
    )
    def test_clip_with_a_nan_stops_training_and_is_named(self, make_runner, tmp_path):
        clips = Clips()
        clips.inputs[5, 1] = float('nan')
        with pytest.raises(
            NonFiniteError, match=r'loss.* is nan in epoch 1.*The input of clip5 is not finite'
        ):
            make_runner(train=clips).train()
        assert not list((tmp_path / 'run').glob('*.pth'))

    def test_clip_with_huge_numbers_is_named(self, make_runner):
        clips = Clips()
        clips.inputs[5, 1] = 1e38
        with pytest.raises(NonFiniteError, match=r'input is finite, but huge, of clip5 \(1e\+38\)\.'):
            make_runner(train=clips).train()

    def test_learning_rate_too_high_stops_training_with_finite_inputs(self, make_runner):
        with pytest.raises(NonFiniteError, match=r'learning rate 9.*The inputs are finite. Clips of the'):
            make_runner(rate=1e38).train()

    def test_non_finite_weights_are_not_saved(self, make_runner, tmp_path):
        class Spoil(Hook):
            priority = 'LOWEST'

            def after_train_iter(self, runner, batch_idx, **_):
                if batch_idx == 3:
                    runner.model.fc.bias.data.fill_(float('inf'))

        with pytest.raises(
            NonFiniteError, match=r'1 weights are not finite .* fc.bias first; they are not saved'
        ):
            make_runner(extra_hooks=[Spoil()]).train()
        assert not list((tmp_path / 'run').glob('*.pth'))

    @pytest.mark.parametrize('mode', ['val', 'test'])
    @pytest.mark.fault('a NaN or infinity in one evaluated clip', 'scored as usual', 'stops, names the clip')
    def test_clip_with_a_nan_stops_evaluation(self, make_runner, trained, mode):
        clips = Clips()
        clips.inputs[2] = float('inf')
        runner = make_runner(val=clips, load_from=str(trained))
        with pytest.raises(NonFiniteError, match='the scores of clip2 are not finite'):
            getattr(runner, mode)()

    @pytest.mark.fault('checkpoint with NaN weights', 'scored as usual', 'refused')
    def test_checkpoint_with_a_nan_is_refused(self, make_runner, trained):
        weights = torch.load(trained)['state_dict']
        weights['fc.weight'][0, 0] = float('nan')
        rewrite(trained, state_dict=weights)
        with pytest.raises(
            NonFiniteError,
            match=r'1 weights of .*epoch_1.pth are not finite, fc\.weight first',
        ):
            make_runner(load_from=str(trained)).test()


class TestLoadCheckHook:
    def test_full_match_loads(self, make_runner, trained):
        runner = make_runner(load_from=str(trained))
        runner.test()
        torch.testing.assert_close(runner.model.fc.weight, torch.load(trained)['state_dict']['fc.weight'])

    def test_weights_saved_from_a_wrapper_load(self, make_runner, trained):
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
        'goes on with random weights',
        'refused, names what is missing',
    )
    def test_test_refuses_what_does_not_fit(self, make_runner, trained, spoil, complaint, strict):
        torch.save(spoil(torch.load(trained)['state_dict']), trained)
        hooks = {'load_check': {'type': 'LoadCheckHook', 'strict': strict}}
        with pytest.raises(ValueError, match=complaint):
            make_runner(load_from=str(trained), hooks=hooks).test()

    def test_other_number_of_classes_is_refused_with_both_shapes(self, make_runner, trained):
        with pytest.raises(
            ValueError, match=r'2 of another shape: fc.weight \(2, 2\) instead of \(3, 2\), fc.bias'
        ):
            make_runner(classes=3, load_from=str(trained)).test()

    def test_fine_tuning_is_opt_in(self, make_runner, trained, warnings, tmp_path):
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

    def test_fine_tuning_from_nothing_that_fits_is_refused(self, make_runner, tmp_path):
        trained = tmp_path / 'other.pth'
        torch.save({'state_dict': {'other': torch.zeros(1)}}, trained)
        lenient = {'load_check': {'type': 'LoadCheckHook', 'strict': False}}
        with pytest.raises(ValueError, match='0 of 2 weights fit'):
            make_runner(load_from=str(trained), hooks=lenient).train()

    def test_code_in_a_checkpoint_is_not_run_on_resume(self, make_runner, trained, tmp_path):
        meta = torch.load(trained)['meta']
        rewrite(trained, meta={**meta, 'config': f'open({str(tmp_path / "pwned")!r}, "w")'})
        make_runner(resume=True).train()
        assert (tmp_path / 'run' / 'epoch_2.pth').is_file()
        assert not (tmp_path / 'pwned').exists()

    @pytest.mark.fault('--resume with nothing there', 'trains from scratch', 'said loudly')
    def test_nothing_to_resume_is_said_loudly(self, make_runner, warnings):
        runner = make_runner(resume=True, epochs=1)
        log = warnings(runner)
        runner.train()
        assert 'NOTHING TO RESUME' in log.text
        assert 'starts from scratch' in log.text

    def test_resume_falls_back_to_the_newest_whole_checkpoint(self, make_runner, tmp_path, warnings):
        make_runner(epochs=2, hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1}}).train()
        last = tmp_path / 'run' / 'epoch_2.pth'
        last.write_bytes(last.read_bytes()[:1000])
        runner = make_runner(epochs=3, resume=True)
        log = warnings(runner)
        runner.train()
        assert f'{last} is damaged' in log.text
        assert (tmp_path / 'run' / 'epoch_3.pth').is_file()
        assert runner._load_from == str(tmp_path / 'run' / 'epoch_1.pth')

    def test_nothing_to_resume_is_said_once(self, make_runner, caplog):
        runner = make_runner(resume=True, epochs=1)
        runner.logger.addHandler(caplog.handler)
        runner.train()
        assert 'Auto resumed' not in caplog.text

    @pytest.mark.fault(
        'training into a folder that holds a run',
        'nothing is said',
        'error: --resume or another --work-dir',
    )
    def test_a_folder_with_a_run_is_refused(self, make_runner, trained):
        before = trained.read_bytes()
        with pytest.raises(RunError, match=r'run holds the checkpoints of a run. .*--resume.*--work-dir'):
            make_runner().train()
        assert trained.read_bytes() == before

    def test_a_test_may_follow_the_training_in_one_process(self, make_runner):
        runner = make_runner()
        runner.train()
        assert 'acc' in str(runner.test())

    @pytest.mark.fault(
        'two trainings in one folder', 'nothing is said', 'error that names the running process'
    )
    def test_a_folder_in_use_is_refused(self, make_runner, tmp_path):
        ready = os.pipe()
        child = os.fork()
        if child == 0:
            held = FolderLock(tmp_path / 'run' / 'training.lock')
            held.acquire()
            os.write(ready[1], b'x')
            signal.pause()
        os.read(ready[0], 1)
        with pytest.raises(RunError, match=rf'run is in use by process {child} on .*--work-dir'):
            make_runner().train()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        make_runner(epochs=1).train()

    def test_what_a_killed_training_left_is_removed(self, make_runner, trained):
        left = trained.with_name('.epoch_2.pth.1234.partial')
        left.touch()
        make_runner(resume=True).train()
        assert not left.exists()

    @pytest.mark.fault('--resume of a file of weights', '-', 'error: load_from')
    def test_weights_alone_can_t_be_resumed(self, make_runner, trained, tmp_path):
        torch.save({'state_dict': torch.load(trained)['state_dict'], 'meta': {}}, tmp_path / 'w.pth')
        with pytest.raises(RunError, match=r'w\.pth .*lacks message_hub, optimizer.*load_from=.*w\.pth'):
            make_runner(resume=True, load_from=str(tmp_path / 'w.pth')).train()

    def test_resume_works_after_the_folder_was_moved(self, make_runner, trained):
        (trained.parent / 'last_checkpoint').write_text('/somewhere/else/epoch_1.pth')
        runner = make_runner(epochs=2, resume=True)
        runner.train()
        assert runner._load_from == str(trained)
        assert runner.iter == 8


class TestConfigCheckHook:
    def test_misspelt_keys_are_all_warned_of(self, make_runner, warnings):
        wrong = {'optim_wraper': {}, 'param_schedular': []}
        runner = make_runner(epochs=1, config={**wrong, 'train_pipeline': [], 'my_name': 1})
        log = warnings(runner)
        runner.train()
        assert "'optim_wraper', which nothing reads. Is 'optim_wrapper' meant?" in log.text
        assert "'param_schedular', which nothing reads. Is 'param_scheduler' meant?" in log.text
        assert 'train_pipeline' not in log.text

    @pytest.mark.parametrize(('stream', 'warned'), [('b', True), ('j', False)])
    @pytest.mark.parametrize('is_old', [False, True])
    def test_other_stream_than_trained_on_is_warned_of(
        self, make_runner, trained, warnings, stream, warned, is_old
    ):
        """Older checkpoints have their config as text alone."""
        meta = torch.load(trained)['meta']
        loader = {'dataset': {'pipeline': [{'type': 'GenSkeFeat', 'feats': ['j']}]}}
        plain = None if is_old else {'train_dataloader': loader}
        text = f'train_dataloader = {loader}' if is_old else ''
        rewrite(trained, meta={**meta, 'plain_config': plain, 'cfg': text})
        now = {'test_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': stream}]}}}
        runner = make_runner(load_from=str(trained), config=now)
        log = warnings(runner)
        runner.test()
        assert ("'stream': 'j'}, now {'layout': 'nturgb+d', 'stream': 'b'}" in log.text) == warned
        assert ('OTHER INPUT' in log.text) == warned

    @pytest.mark.parametrize(
        ('config', 'complaint'),
        [
            ({'default_hooks': {'chekpoint': {}}}, r'chekpoint: .*Is default_hooks\.checkpoint meant'),
            (
                {
                    'train_dataloader': {
                        'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'j'}]}
                    },
                    'val_dataloader': {'dataset': {'pipeline': [{'type': 'SkeletonStream', 'stream': 'b'}]}},
                },
                r"different streams: stream: train_dataloader has .*'j'}, val_dataloader has .*'b'}",
            ),
            ({'randomness': {'seed': 0}}, r'--seed 1 has no effect.*randomness\.seed=1'),
        ],
    )
    @pytest.mark.fault(
        'val of another stream; misspelt hook; --seed without effect',
        '-',
        'error before training',
    )
    def test_what_no_one_can_mean_ends_before_training(self, make_runner, monkeypatch, config, complaint):
        if 'randomness' in config:
            monkeypatch.setattr('sys.argv', ['train.py', '--seed', '1'])
        runner = make_runner(config=config)
        with pytest.raises(RunError, match=complaint):
            runner.train()
        assert runner.iter == 0

    @pytest.mark.fault(
        'trained on X-sub, tested on X-view', 'nothing is said', 'warned: the test holds training clips'
    )
    def test_a_test_under_another_protocol_is_warned_of(self, make_runner, trained, warnings):
        meta = torch.load(trained)['meta']
        rewrite(
            trained, meta={**meta, 'plain_config': {'train_dataloader': {'dataset': {'split': 'xsub_train'}}}}
        )
        now = {'test_dataloader': {'dataset': {'split': 'xview_val'}}}
        runner = make_runner(load_from=str(trained), config=now)
        log = warnings(runner)
        runner.test()
        assert (
            "THE TEST MAY HOLD CLIPS OF THE TRAINING: the checkpoint was trained on split 'xsub" in log.text
        )

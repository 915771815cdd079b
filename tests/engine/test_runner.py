import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, PARAM_SCHEDULERS, RUNNERS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmdualhead.engine.runner import DataCheckRunner, missing_files
from mmdualhead.utils.command import one_line_errors
from tests.datasets.clips import make_data, save

ROOT = Path(__file__).parents[2]
URL = 'https://download.openmmlab.com/mmaction/v1.0/skeleton/data/ntu60_3d.pkl'


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config in an empty folder, whose model can't be built: who tries to fails the test."""
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / 'configs' / 'quickstart_j.py')
    config.model = dict(type='NoModel')
    config.work_dir = 'runs'
    return config


def with_files(config, **files):
    for phase, name in files.items():
        config[f'{phase}_dataloader'].dataset.ann_file = name
    return config


class TestMissing:
    def test_nothing_is_built(self, config, tmp_path):
        with pytest.raises(
            SystemExit, match=r'^error: annotation file data/skeleton/synthetic.pkl is missing. '
        ):
            RUNNERS.build(config)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize('missing', [{'train'}, {'val'}, {'test'}])
    def test_what_the_other_program_reads_is_not_asked_for(self, config, tmp_path, missing):
        """A test needs no training data, a training run with --no-validate no test data."""
        (tmp_path / 'there.pkl').touch()
        with_files(config, **dict.fromkeys({'train', 'val', 'test'} - missing, 'there.pkl'))
        with pytest.raises(SystemExit, match=r'^error: .*NoModel'):
            RUNNERS.build(config)

    @pytest.mark.parametrize(
        ('wrong', 'message'),
        [
            (dict(heads=dict(coarse=dict(channels=(25, 48)))), 'MS-TCN: 25 channels do not divide'),
            (dict(graph_cfg=dict(layout='ntu')), "unknown skeleton layout 'ntu'"),
        ],
    )
    def test_a_network_that_can_t_be_built_ends_in_one_line(self, config, tmp_path, wrong, message):
        (tmp_path / 'there.pkl').touch()
        with_files(config, train='there.pkl', val='there.pkl', test='there.pkl')
        config.model = Config.fromfile(ROOT / 'configs' / 'quickstart_j.py').model
        config.merge_from_dict(dict(model=wrong))
        with pytest.raises(SystemExit, match=f'^error: {message}'):
            RUNNERS.build(config)

    def test_what_is_needed_now_is(self, config, tmp_path):
        (tmp_path / 'there.pkl').touch()
        with_files(config, test='there.pkl')
        runner = DataCheckRunner.__new__(DataCheckRunner)
        runner.cfg = config
        with pytest.raises(SystemExit, match=r'^error: .*synthetic\.pkl is missing'):
            runner.train()
        with_files(config, test='gone.pkl')
        with pytest.raises(SystemExit, match=r'^error: .*gone\.pkl is missing'):
            runner.test()

    def test_also_within_other_data_sets_and_of_mmactions(self, config):
        inner = dict(type='PoseDataset', ann_file='gone.pkl', data_root='somewhere')
        config.train_dataloader.dataset = dict(
            type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[inner])
        )
        config.annotations = dict(ann_source='Get it there.')
        expected = f'annotation file {Path("somewhere", "gone.pkl")} is missing. Get it there. '
        expected += f'(The current folder is {Path.cwd()}.)'
        assert missing_files(config, 'train') == expected


def test_what_mmengine_says_of_a_config_is_one_line(config, tmp_path):
    """Also under mim and in scripts, which don't go through the command."""
    (tmp_path / 'there.pkl').touch()
    with_files(config, train='there.pkl', val='there.pkl', test='there.pkl')
    config.model = Config.fromfile(ROOT / 'configs' / 'quickstart_j.py').model
    config.default_hooks.checkpoint.intervall = 2
    with pytest.raises(SystemExit, match=r"^error: .*unexpected keyword argument 'intervall'"):
        RUNNERS.build(config)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(persistent_workers=True), 'persistent_workers option needs'),
        (dict(dataset=dict(splt='train')), "unexpected keyword argument 'splt'"),
    ],
)
def test_arguments_that_are_refused_further_down_are_one_line(config, tmp_path, wrong, message):
    config.train_dataloader.dataset.update(ann_file=save(tmp_path, make_data()), split='train')
    config.merge_from_dict(dict(train_dataloader=wrong))
    init_default_scope(config.default_scope)
    with pytest.raises(SystemExit, match=f'^error: .*{message}'), one_line_errors():
        Runner.build_dataloader(config.train_dataloader)


def test_so_are_those_of_a_schedule():
    schedule = dict(type='CosineAnnealingLR', T_max=3, convert_to_iter_based=True, epoch_length=5)
    given = dict(optimizer=torch.optim.SGD([torch.zeros(1)], 0.1))
    with pytest.raises(SystemExit, match=r"^error: .*argument 'eta_mn'"), one_line_errors():
        PARAM_SCHEDULERS.build({**schedule, 'eta_mn': 0}, default_args=given)
    with (
        pytest.raises(SystemExit, match=r'^error: .*must be a positive integer, but got 0'),
        one_line_errors(),
    ):
        PARAM_SCHEDULERS.build({**schedule, 'epoch_length': 0}, default_args=given)


def test_of_mmactions_protocol_too():
    config = Config.fromfile(ROOT / 'configs' / 'stgcn_ntu60_xsub_u100_j.py')
    config.train_dataloader.dataset.ann_file = 'gone.pkl'
    assert URL in missing_files(config, 'train')


def test_a_program_says_so_and_nothing_else(tmp_path):
    command = [sys.executable, '-W', 'ignore', '-m', 'mmdualhead', 'train', 'dualhead_ntu60_xsub_j']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith('error: annotation file data/skeleton/ntu60_3d.pkl is missing. ')
    assert URL in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert 'Traceback' not in done.stdout


def test_faults_are_told_in_the_words_of_whoever_found_them(config, tmp_path):
    clip = dict(frame_dir='a', label=0, total_frames=1)
    data = dict(split=dict(xsub_train=['a', 'b'], xsub_val=['a']), annotations=[clip])
    with_files(config, train='faulty.pkl', val='broken.pkl')
    (tmp_path / 'faulty.pkl').write_bytes(pickle.dumps(data))
    (tmp_path / 'broken.pkl').write_bytes(b'')
    init_default_scope(config.default_scope)
    with (
        pytest.raises(
            SystemExit, match=r"^error: 3 errors:\n  faulty\.pkl, split 'xsub_train', split: "
        ) as caught,
        one_line_errors(),
    ):
        DATASETS.build(config.train_dataloader.dataset)
    assert 'keypoint' in caught.value.code
    with pytest.raises(SystemExit, match=r'^error: broken\.pkl is empty'), one_line_errors():
        DATASETS.build(config.val_dataloader.dataset)

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdualhead.evaluation.scores import LabeledScores, save_scores
from reproduction.paper_tables import NUMBERS, TABLES, get_table
from reproduction.runs import (
    Reproduction,
    launch_logged,
    mean_and_deviation,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
ABLATIONS = [row for table in TABLES.values() for row in table.rows if row.change]
CONFIG = """
model = dict(
    type='StubModel',
    attentions=dict(temporal=dict(source='fine'), spatial=dict(source='coarse')),
    heads=dict(fine=dict(reduction=2), coarse=dict(windows=(3,), subsample=2)))
test_evaluator = dict(type='DualHeadMetric')
max_epochs = 2
"""


@MODELS.register_module()
class StubModel(nn.Linear):
    """Has ten parameters, whatever its config says."""

    def __init__(self, **_):
        super().__init__(4, 2)


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / 'configs'
    folder.mkdir()
    for name in ('msg3d_toy_j', 'dualhead_toy_j', 'dualhead_toy_b'):
        (folder / f'{name}.py').write_text(CONFIG)
    shutil.copytree(CONFIGS / 'ablations', folder / 'ablations')
    return folder


class StubLaunch:
    """Trains and tests without a model; ``fail`` maps a part of a command to what is to happen."""

    def __init__(self):
        self.commands = []
        self.fail = {}

    def __call__(self, command, log):
        assert command[:3] == [sys.executable, '-m', 'mmdualhead']
        tool = command[3]
        work_dir = Path(command[command.index('--work-dir') + 1])
        self.commands.append((tool, f'{work_dir.parent.name}/{work_dir.name}', '--resume' in command))
        if tool == 'train':
            (work_dir / 'epoch_1.pth').touch()
            (work_dir / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
        for part, outcome in self.fail.items():
            if part in f'{tool} {work_dir}':
                log.write_text('Traceback\nOutOfMemoryError: too large')
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome
        if tool == 'test':
            assert Path(command[command.index('--work-dir') - 1]) == work_dir / 'epoch_1.pth'
            save_scores(self.scores(work_dir), work_dir / '2021' / 'scores.npz')
        return 0

    def scores(self, work_dir):
        """Of 20 clips, all but one a seed right."""
        wrong = int(work_dir.name.removeprefix('seed'))
        labels = np.arange(20) % 2
        predicted = np.where(np.arange(20) < wrong, 1 - labels, labels)
        names = tuple(f'clip{i}' for i in range(20))
        return LabeledScores(source='stub', names=names, labels=labels, heads={'fused': np.eye(2)[predicted]})


@pytest.fixture
def make(configs, tmp_path):
    launch, said = StubLaunch(), []

    def build(table='4', **changes):
        return Reproduction(
            **dict(table=table, benchmark='toy', configs=configs, work_dir=tmp_path / 'work', launch=launch)
            | dict(say=said.append)
            | changes
        )

    build.launch, build.said = launch, said
    return build


def cells(markdown, label):
    line = next(line for line in markdown.splitlines() if line.startswith(f'| {label} |'))
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_every_row_is_trained_and_tested_with_every_seed(make):
    reproduction = make(seeds=(0, 1, 2))
    assert reproduction.reproduce()
    names = ['msg3d_toy_j', 'dualhead_toy_j_no-attention', 'dualhead_toy_j_temporal-only', 'dualhead_toy_j']
    wanted = [(tool, f'{n}/seed{s}', False) for s in range(3) for n in names for tool in ('train', 'test')]
    assert make.launch.commands == wanted
    table = reproduction.out_file.read_text()
    # Seeds 0, 1, 2 have 0, 1, 2 of 20 clips wrong.
    assert cells(table, '+ temporal attention') == [
        *('+ temporal attention', '0.00M', '95.00 ± 5.00', '100.00 ± 0.00', '95.00 ± 5.00', '3', '90.2')
    ]
    assert 'paper (ntu60_xsub)' in table


def test_rows_differ_from_the_joint_config_in_what_they_are_named_for(make, tmp_path):
    for table in ('4', '5', '6', '7', '8'):
        make(table).reproduce()
    base = Config.fromfile(tmp_path / 'work' / 'dualhead_toy_j' / 'seed0.py').model
    changed = {}
    for config in (tmp_path / 'work').glob('dualhead_toy_j_*/seed0.py'):
        model = Config.fromfile(config).model
        changed[config.parts[-2].removeprefix('dualhead_toy_j_')] = {
            part: model[part] for part in base if model[part] != base[part]
        }
    fine, coarse = dict(reduction=2), dict(windows=(3,), subsample=2)
    assert changed == {
        'no-attention': dict(attentions=None),
        'temporal-only': dict(attentions=dict(temporal=dict(source='fine'), spatial=None)),
        'fine-full': dict(heads=dict(fine=dict(reduction=1), coarse=coarse)),
        'fine-quarter': dict(heads=dict(fine=dict(reduction=4), coarse=coarse)),
        'coarse-no-g3d': dict(heads=dict(fine=fine, coarse=dict(windows=(), subsample=2))),
        'coarse-two-g3d': dict(heads=dict(fine=fine, coarse=dict(windows=(3, 5), subsample=2))),
        'subsample-1': dict(heads=dict(fine=fine, coarse=dict(windows=(3,), subsample=1))),
        'subsample-4': dict(heads=dict(fine=fine, coarse=dict(windows=(3,), subsample=4))),
        'self-temporal': dict(attentions=dict(temporal=dict(source='coarse'), spatial=dict(source='coarse'))),
        'self-spatial': dict(attentions=dict(temporal=dict(source='fine'), spatial=dict(source='fine'))),
    }


def test_runs_dump_scores_and_know_their_seed(make, tmp_path):
    make(seeds=(7,), options={'max_epochs': 1}).reproduce()
    config = Config.fromfile(tmp_path / 'work' / 'dualhead_toy_j' / 'seed7.py')
    assert [evaluator.type for evaluator in config.test_evaluator] == ['DualHeadMetric', 'DumpScores']
    assert config.randomness.seed == 7
    assert config.max_epochs == 1


def test_what_is_done_is_not_done_again_and_tables_share_runs(make):
    make('4').reproduce()
    make.launch.commands.clear()
    make('4').reproduce()
    assert make.launch.commands == []
    make('5').reproduce()
    assert [name for tool, name, _ in make.launch.commands if tool == 'train'] == [
        'dualhead_toy_j_fine-full/seed0',
        'dualhead_toy_j_fine-quarter/seed0',
    ]


def test_several_gpus_are_started_by_torchrun(make):
    commands = []
    make('7', gpus=2, launch=lambda command, _: commands.append(command) or 1).reproduce()
    assert commands[0][1:7] == [
        *('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2', '-m', 'mmdualhead')
    ]
    assert commands[0][-2:] == ['--launcher', 'pytorch']


def test_an_interrupted_training_is_resumed(make):
    make.launch.fail = {'train': KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        make().reproduce()
    make.launch.fail = {}
    make.launch.commands.clear()
    assert make().reproduce()
    trained = [(name, resumed) for tool, name, resumed in make.launch.commands if tool == 'train']
    assert trained[:2] == [('msg3d_toy_j/seed0', True), ('dualhead_toy_j_no-attention/seed0', False)]


def test_a_failed_run_is_reported_and_the_others_go_on(make):
    make.launch.fail = {'temporal-only': 1}
    reproduction = make()
    assert not reproduction.reproduce()
    assert [Path(path).parts[-2] for path in reproduction.failed] == ['dualhead_toy_j_temporal-only']
    assert any('exit status 1: OutOfMemoryError: too large' in line for line in make.said)
    table = reproduction.out_file.read_text()
    assert cells(table, '+ temporal attention')[2:6] == ['-', '-', '-', '0']
    assert cells(table, 'dual head')[2] == '100.00'


def test_other_settings_in_the_same_work_dir_are_refused_before_any_run(make):
    make().reproduce()
    make.launch.commands.clear()
    with pytest.raises(ValueError, match=r'seed0\.py differs .* --work-dir'):
        make(options={'max_epochs': 1}).reproduce()
    assert make.launch.commands == []


def test_streams_are_fused_and_rows_without_config_left_out(make):
    reproduction = make('1', seeds=(2,))
    assert [row.label for row in reproduction.rows] == [
        'Js MS-G3D',
        'Js DualHead-Net',
        'Bs DualHead-Net',
        '2s DualHead-Net',
    ]
    reproduction.reproduce()
    table = reproduction.out_file.read_text()
    assert cells(table, '2s DualHead-Net')[2] == '90.00'
    assert 'JMs DualHead-Net, BMs DualHead-Net, 4s DualHead-Net.' in table
    assert table.count('dualhead_toy_jm.py') == 1


def test_a_benchmark_without_any_config_names_them(make):
    with pytest.raises(FileNotFoundError, match=r'no config for table 6: dualhead_nowhere_j\.py'):
        make('6', benchmark='nowhere')


def test_embedded_data_go_by_their_own_names(make, configs):
    (configs / 'quickstart_j.py').write_text(CONFIG)
    reproduction = make('7', benchmark='quickstart')
    assert [run.work_dir.parts[-2] for run in reproduction.runs()] == [
        *('quickstart_j_subsample-1', 'quickstart_j', 'quickstart_j_subsample-4')
    ]


def test_the_baselines_are_trained_on_the_embedded_data(make):
    reproduction = make('1', benchmark='quickstart', configs=CONFIGS)
    names = {run.work_dir.parts[-2] for run in reproduction.runs()}
    prefixes = ('quickstart', 'msg3d_quickstart', 'stgcn_quickstart')
    assert names >= {f'{prefix}_{stream}' for prefix in prefixes for stream in ('j', 'b', 'jm', 'bm')}
    assert {'4s ST-GCN', '4s MS-G3D', '4s DualHead-Net'} <= {row.label for row in reproduction.rows}


def test_every_table_of_the_paper_is_there():
    assert {NUMBERS[str(number)] for number in range(1, 9)} == set(TABLES)
    assert get_table('4') is get_table('incremental')
    with pytest.raises(ValueError, match=r"no table '9'; known: 1 \(streams\)"):
        get_table('9')


def test_deviation_is_that_of_a_sample():
    assert mean_and_deviation([90.0, 92.0]) == '91.00 ± 1.41'
    assert mean_and_deviation([90.0]) == '90.00'
    assert mean_and_deviation([]) == '-'


def test_launch_keeps_what_a_command_prints_and_its_status(tmp_path):
    log = tmp_path / 'log'
    for _ in range(2):
        assert launch_logged(['sh', '-c', 'echo out; echo err >&2; exit 3'], log) == 3
    assert re.findall('out|err', log.read_text()) == ['out', 'err', 'out', 'err']


@pytest.mark.parametrize('row', ABLATIONS, ids=lambda row: row.change)
def test_ablations_keep_all_but_the_model_on_any_benchmark(row):
    (on_utd,) = row.experiments('utd_mhad', CONFIGS)
    base, changed = Config.fromfile(on_utd.config).to_dict(), on_utd.load().to_dict()
    MODELS.build(changed['model'])
    assert {key for key in base if base[key] != changed[key]} == {'model'}
    (on_ntu,) = row.experiments('ntu60_xsub', CONFIGS)
    assert on_ntu.load().to_dict() == Config.fromfile(on_ntu.ablation).to_dict()


def test_every_ablation_stands_in_a_table():
    leaves = {path.stem.rpartition('_')[2] for path in (CONFIGS / 'ablations').glob('*.py')}
    assert leaves == {row.change for row in ABLATIONS}

"""The command ``mmdualhead``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdualhead import cli
from tests.conftest import file_size_limit

ROOT = Path(__file__).parents[1]


@pytest.fixture
def ran(monkeypatch):
    """The programs that the command runs, instead of running them."""
    programs = []

    def note(program):
        programs.append((Path(program), sys.argv[1:]))

    monkeypatch.setattr(cli, 'execute', note)
    monkeypatch.setattr(sys, 'argv', ['mmdualhead'])
    monkeypatch.setattr(sys, 'path', sys.path[:])
    return programs


class TestTrain:
    @pytest.mark.parametrize('name', ['quickstart_j', 'quickstart_j.py', 'configs/quickstart_j.py'])
    def test_shipped_configs_go_by_name(self, ran, monkeypatch, tmp_path, name):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'quickstart_j').mkdir()  # a work dir of that name doesn't hide the config
        assert cli.main(['train', name, '--work-dir', 'quickstart_j']) == 0
        ((program, (config, *rest)),) = ran
        assert program.parts[-2:] == ('tools', 'train.py')
        assert Path(config) == ROOT / 'configs' / 'quickstart_j.py'
        assert rest == ['--work-dir', 'quickstart_j']

    def test_own_configs_go_by_path(self, ran, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'quickstart_j.py').touch()
        cli.main(['test', 'quickstart_j.py', 'epoch_1.pth'])
        assert ran[0][1] == ['quickstart_j.py', 'epoch_1.pth']

    def test_own_configs_need_no_suffix(self, ran, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        for name in ('mine', 'quickstart_j'):
            (tmp_path / f'{name}.py').touch()
        cli.main(['train', 'mine'])
        assert ran.pop()[1] == ['mine.py']
        cli.main(['train', 'quickstart_j'])  # names of shipped ones stay theirs
        assert Path(ran.pop()[1][0]) == ROOT / 'configs' / 'quickstart_j.py'

    def test_a_wrong_name_gets_the_right_ones(self, ran, capsys):
        assert cli.main(['train', 'quickstart_jj']) == 2
        assert "no config 'quickstart_jj'; did you mean quickstart_j" in capsys.readouterr().err
        assert not ran


class TestTest:
    """``mmdualhead test``."""

    def test_a_work_dir_stands_for_its_newest_checkpoint(self, ran, tmp_path, caplog):
        for epoch in (9, 10):
            meta = dict(epoch=epoch, iter=epoch)
            torch.save(dict(meta=meta, state_dict={}), tmp_path / f'epoch_{epoch}.pth')
        (tmp_path / 'epoch_11.pth').write_text('damaged')
        assert cli.main(['test', 'quickstart_j', str(tmp_path), '--work-dir', 'x']) == 0
        assert ran.pop()[1][1:] == [str(tmp_path / 'epoch_10.pth'), '--work-dir', 'x']
        assert 'epoch_11.pth' in caplog.text
        cli.main(['test', 'quickstart_j', str(tmp_path), '--half'])
        assert ran.pop()[1][1:4] == [str(tmp_path / 'epoch_10.pth'), '--work-dir', str(tmp_path)]

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['quickstart_j', 'x.pth', '--dump', 'x.npz'], '--dump writes a pickle, NAME.pkl, not x.npz'),
            (['x.pth', 'quickstart_j'], 'x.pth is not a config, which comes first'),
        ],
    )
    def test_wrong_arguments(self, ran, capsys, arguments, message):
        assert cli.main(['test', *arguments]) == 2
        assert message in capsys.readouterr().err
        assert not ran

    def test_a_work_dir_without_checkpoints(self, ran, tmp_path, capsys):
        assert cli.main(['test', 'quickstart_j', str(tmp_path)]) == 2
        assert f'{tmp_path} contains no checkpoint' in capsys.readouterr().err
        assert not ran

    @pytest.mark.parametrize('option', ['--show', '--show-dir'])
    def test_mmaction_shows_no_skeletons(self, ran, capsys, option):
        assert cli.main(['test', 'quickstart_j', 'x.pth', option, 'out']) == 2
        assert '"mmdualhead visualize ' in capsys.readouterr().err
        assert not ran


class TestTools:
    def test_each_is_listed_and_run(self, ran, capsys):
        cli.main(['help'])
        listed = capsys.readouterr().out
        for tool in sorted((ROOT / 'tools').glob('*.py')):
            assert f'\n  {tool.stem.replace("_", "-")} ' in listed
            assert cli.main([tool.stem.replace('_', '-'), '--out', 'x']) == 0
            assert ran.pop() == (tool, ['--out', 'x'])
        for tool in sorted((ROOT / 'tools' / 'data').glob('*.py')):
            assert f'\n  data {tool.stem} ' in listed
            cli.main(['data', tool.stem, 'src'])
            assert ran.pop() == (tool, ['src'])

    def test_configs_go_by_name_and_work_dirs_stay(self, ran, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        cli.main(['benchmark', 'quickstart_j'])
        assert ran.pop()[1] == [str(ROOT / 'configs' / 'quickstart_j.py')]
        cli.main(['train', 'configs/quickstart_j.py'])
        assert ran.pop()[1] == [str(ROOT / 'configs' / 'quickstart_j.py')]
        (tmp_path / 'quickstart_j').mkdir()
        cli.main(['ensemble', 'quickstart_j'])
        assert ran.pop()[1] == ['quickstart_j']

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['ensembel'], "no command 'ensembel'; did you mean ensemble?"),
            (['data', 'nut'], 'did you mean ntu?'),
            (['data'], 'kinetics, '),
            (['run', 'get_flop'], 'did you mean get_flops?'),
            (['run', 'NOSUCH'], ', analyze_logs, '),
            (['run'], 'confusion_matrix, '),
            (['configs', 'nothing'], "no shipped config contains 'nothing'"),
            (['train', 'mine/quickstart_j.py'], "no config 'mine/quickstart_j.py'"),
        ],
    )
    def test_what_is_not_there(self, capsys, arguments, message):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ')
        assert message in error


class TestConfigs:
    def test_listed(self, capsys):
        cli.main(['configs', 'quickstart'])
        assert 'quickstart_bm\nquickstart_j\n' in capsys.readouterr().out
        assert not [name for name in cli.find_configs() if 'runtime' in name]

    def test_copied_whole_and_once(self, tmp_path, capsys):
        target = tmp_path / 'mine'
        assert cli.main(['configs', '--copy', str(target)]) == 0
        assert (target / '_base_' / 'default_runtime.py').is_file()
        assert cli.main(['configs', '--copy', str(target)]) == 2
        assert 'is there already' in capsys.readouterr().err

    @pytest.mark.fault(
        '`mmdualhead configs --copy` with a full disk', '-', 'error; nothing of the copy stays'
    )
    def test_a_full_disk(self, tmp_path, capsys):
        with file_size_limit(100):
            assert cli.main(['configs', '--copy', str(tmp_path / 'mine')]) == 2
        assert 'could not be written' in capsys.readouterr().err
        assert not (tmp_path / 'mine').exists()


def test_examples_are_listed_and_copied(tmp_path, capsys):
    assert cli.main(['examples']) == 0
    listed = capsys.readouterr().out
    target = tmp_path / 'mine'
    assert cli.main(['examples', '--copy', str(target)]) == 0
    copied = {path.name for path in target.iterdir()}
    assert copied == {path.name for path in (ROOT / 'docs' / 'examples').glob('*.py')}
    assert all(f'{name} ' in listed for name in copied)
    assert cli.main(['examples', '--copy', str(target)]) == 2


def run(*arguments, cwd):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-W', 'ignore', '-m', 'mmdualhead', *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_tools_of_mmaction_find_its_models(tmp_path):
    """By themselves they end in ModuleNotFoundError: MMAction2's wheel lacks a part of its models."""
    done = run('run', 'confusion_matrix', '--help', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '--show-path' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (['predict'], 'mmdualhead predict'),
        (['data', 'ntu'], 'mmdualhead data ntu'),
        (['train'], 'mmdualhead train'),
        (['run', 'get_flops.py'], 'mmdualhead run get_flops'),
    ],
)
def test_tools_call_themselves_by_what_is_typed(monkeypatch, capsys, arguments, name):
    for key, value in (('argv', ['mmdualhead', *arguments]), ('path', sys.path[:])):
        monkeypatch.setattr(sys, key, value)
    with pytest.raises(SystemExit, match=r'^0$'):
        cli.main([*arguments, '--help'])
    shown = ' '.join(capsys.readouterr().out.split())
    assert shown.startswith(f'usage: {name} [-h]')
    assert 'tools/' not in shown
    assert sys.modules['__main__'].__name__ == '__main__'


@pytest.mark.parametrize('command', [['configs'], ['predict', '--help']], ids=' '.join)
def test_a_reader_may_have_had_enough(tmp_path, command):
    """As in ``mmdualhead configs | head -1``, whose pipe is closed before all is written."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, '-W', 'ignore', ROOT / 'mmdualhead_cli.py', *command]
    with os.fdopen(writes) as pipe:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': ''},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )
    assert (done.stderr, done.returncode) == ('', 141)


@pytest.mark.parametrize(
    ('given', 'passed'),
    [
        (['c', 'p'], ['c', 'p']),
        (['c', 'p', '--half'], ['c', 'p', '--cfg-options', 'default_hooks.fuse.half=True']),
        (
            ['c', '--half', 'p', '--cfg-options', 'a=1', 'b=2'],
            ['c', 'p', '--cfg-options', 'default_hooks.fuse.half=True', 'a=1', 'b=2'],
        ),
    ],
)
def test_half_is_an_option_of_the_config(given, passed):
    assert cli.with_half(given) == passed

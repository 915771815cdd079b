"""How the command starts, on a whole machine and on a broken one, and what an import does anywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmaction.apis import init_recognizer

from mmdualhead.version import __version__

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/dualhead_ntu60_xsub_j.py'
CLIPS = 'import torch; clips = torch.zeros(1, 1, 2, 16, 25, 3)'
REGISTERED = "from mmaction.registry import MODELS; print(MODELS.get('DualHeadRecognizer'))"


def run(*arguments, cwd, typed=None):
    """A Python, with this clone's package."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *arguments],
        cwd=cwd,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def clone(tmp_path):
    """A folder called as in the README, with what a clone has."""
    folder = tmp_path / 'mmdualhead'
    folder.mkdir()
    for name in ('mmdualhead', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize(
    ('arguments', 'printed'),
    [
        (['--version'], f'{__version__}\n'),
        (['--help'], 'data ntu '),
        ([], 'usage: mmdualhead COMMAND'),
        (['configs', 'quickstart'], 'quickstart_bm\nquickstart_j\n'),
        (['examples'], 'stream.py '),
    ],
)
def test_these_commands_need_nothing_but_python(tmp_path, arguments, printed):
    done = run('-S', ROOT / 'mmdualhead_cli.py', *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert printed in done.stdout


def test_the_others_say_what_is_missing(tmp_path):
    done = run('-S', ROOT / 'mmdualhead_cli.py', 'train', 'quickstart_j', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('error: mmdualhead ')
    assert 'torch is not installed' in done.stderr
    assert done.stderr.count('"mmdualhead doctor" shows how to fix it') == 1


def test_a_package_that_cannot_be_imported(tmp_path):
    (tmp_path / 'numpy.py').write_text('raise ImportError("half of it is missing")')
    done = run('-m', 'mmdualhead_cli', 'train', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == 'error: half of it is missing; "mmdualhead doctor" shows how to fix it\n'


def test_interactive_python_in_the_folder_of_the_clone(clone):
    """As the README has it, "From Python"."""
    code = re.search(r'From Python:\n\n```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)[1]
    torch.save(init_recognizer(str(ROOT / CONFIG), device='cpu').state_dict(), clone / 'epoch_80.pth')
    done = run('-i', cwd=clone, typed=f'{CLIPS}\n{code}\nprint(coarse.shape, fine.shape)\n')
    assert 'torch.Size([1, 60]) torch.Size([1, 60])' in done.stdout, done.stderr
    assert 'Error' not in done.stderr


def test_the_backbone_in_mmaction_s_recognizer(tmp_path):
    """As docs/extend.md has it, "Parts of this package in your own config", in a process of its own."""
    page = (ROOT / 'docs' / 'extend.md').read_text()
    config = re.search(r"```python\n(default_scope = 'mmaction'\ncustom_imports.*?\n)```", page, re.DOTALL)[1]
    (tmp_path / 'config.py').write_text(config)
    code = (
        'from mmaction.apis import init_recognizer; '
        "print(type(init_recognizer('config.py', device='cpu').backbone).__name__)"
    )
    done = run('-c', code, cwd=tmp_path)
    assert done.stdout == 'STGCBackbone\n', done.stderr


def test_a_program_of_any_name_gets_everything_registered(tmp_path):
    program = tmp_path / 'tools' / 'data' / 'mmdualhead'
    program.parent.mkdir(parents=True)
    program.write_text(f'import mmdualhead.skeletons; {REGISTERED}')
    done = run(program, cwd=tmp_path)
    assert 'DualHeadRecognizer' in done.stdout, done.stderr


def test_registering_twice_changes_nothing():
    import mmdualhead

    before = list(mmdualhead.REPAIRED)
    mmdualhead.register()
    assert before == mmdualhead.REPAIRED

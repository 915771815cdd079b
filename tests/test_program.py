"""Which programs start with everything registered, and which without what they don't need."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmdualhead.program import shipped, starts_light

ROOT = Path(__file__).parents[1]


def package_in(tmp_path):
    package = tmp_path / 'mmdualhead'
    package.mkdir()
    return package


@pytest.mark.parametrize(
    ('program', 'light'),
    [
        ('/usr/bin/mmdualhead', True),
        ('C:/Scripts/mmdualhead.exe', True),
        ('{}/tools/data/ntu.py', True),
        ('{}/mmdualhead/.mim/tools/data/ntu.py', True),
        ('{}/mmdualhead/__main__.py', True),
        ('{}/tools/ensemble.py', False),
        ('/home/me/tools/data/ntu.py', False),
        ('/home/me/train.py', False),
        ('-c', False),
        ('', False),
    ],
)
def test_programs(tmp_path, program, light):
    assert starts_light([program.format(tmp_path)], [], package_in(tmp_path)) is light


@pytest.mark.parametrize(
    ('module', 'light'), [('mmdualhead', True), ('mmdualhead.doctor', True), ('pytest', False)]
)
def test_modules(tmp_path, module, light):
    assert starts_light(['-m'], ['python', '-W', 'ignore', '-m', module], package_in(tmp_path)) is light


def test_no_program(tmp_path):
    assert not starts_light([], ['python'], package_in(tmp_path))


def test_shipped_files_are_found():
    assert (shipped('configs') / 'quickstart_j.py').is_file()
    assert (shipped('tools') / 'ensemble.py').is_file()


def modules_after(program, *arguments, tmp_path):
    """The modules that a program has loaded when it ends."""
    code = 'import atexit, sys; atexit.register(lambda: print(*sys.modules, file=open("modules", "w")))'
    (tmp_path / 'usercustomize.py').write_text(code)
    (tmp_path / 'sitecustomize.py').write_text(code)
    environment = {'PYTHONPATH': f'{tmp_path}:{ROOT}', 'PATH': ''}
    done = subprocess.run(
        [sys.executable, program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set((tmp_path / 'modules').read_text().split())


def test_a_conversion_loads_no_torch(tmp_path):
    """That takes seconds, which a converter, started once per data set or to read --help, would only lose."""
    skeletons = [[[0.1 * joint, 0.2, 3.0] for joint in range(20)]] * 3
    (tmp_path / 'a01_s01_e00_v01.json').write_text(
        f'{{"file_name": "a01_s01_e00_v01", "label": 1, "skeletons": {skeletons}}}'
    )
    loaded = modules_after(
        ROOT / 'tools/data/nw_ucla.py', '.', 'out.pkl', '--workers', '0', tmp_path=tmp_path
    )
    assert (tmp_path / 'out.pkl').is_file()
    assert 'mmdualhead.datasets.converters' in loaded
    assert not loaded & {'torch', 'mmaction', 'mmcv'}

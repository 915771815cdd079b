"""What pip gets to see of this project: requirements, wheel, editable install."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

from mmdualhead.version import SUPPORTED, __version__, release

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
SOURCES = (
    *('setup.py', 'pyproject.toml', 'MANIFEST.in', 'model-index.yml', 'README.md'),
    *('configs', 'tools', 'docs', 'mmdualhead', 'mmdualhead_cli.py'),
)


@pytest.fixture
def project(tmp_path):
    """A copy of the project, as it is in a fresh clone."""
    copied = tmp_path / 'project'
    copied.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, copied / name, ignore=shutil.ignore_patterns('.mim', '__pycache__', '_build')
            )
        else:
            shutil.copy(ROOT / name, copied)
    return copied


def build(project, kind):
    """Build a wheel as pip does."""
    program = f'from setuptools.build_meta import build_{kind} as build; print(build("dist"))'
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(project / 'dist' / done.stdout.split()[-1])


class TestMmcv:
    @pytest.fixture
    def choose(self, monkeypatch, tmp_path):
        """The mmcv that setup.py chooses in an environment with some distributions installed."""

        def choose(*installed):
            for name in installed:
                (tmp_path / f'{name}-2.1.0.dist-info').mkdir()
                metadata = f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: 2.1.0\n'
                (tmp_path / f'{name}-2.1.0.dist-info' / 'METADATA').write_text(metadata)
            monkeypatch.setattr(sysconfig, 'get_path', lambda _: str(tmp_path))
            return runpy.run_path(str(ROOT / 'setup.py'))['requirements']()[3]

        return choose

    def test_full_mmcv_is_kept(self, choose):
        assert choose('mmcv') == f'mmcv{SUPPORTED["mmcv"]}'

    @pytest.mark.parametrize('installed', [(), ('mmcv_lite',), ('numpy',)])
    def test_others_get_the_lite_one(self, choose, installed):
        assert choose(*installed) == f'mmcv-lite{SUPPORTED["mmcv"]}'

    def test_choice_by_hand(self, choose, monkeypatch):
        monkeypatch.setenv('MMDUALHEAD_MMCV', 'mmcv')
        assert choose().startswith('mmcv>')


def test_wheel_carries_what_mim_looks_for(project):
    wheel = build(project, 'wheel')
    names = set(wheel.namelist())
    for file in [
        file for folder in ('configs', 'tools', 'docs/examples') for file in (project / folder).rglob('*.*')
    ]:
        assert f'mmdualhead/.mim/{file.relative_to(project).as_posix()}' in names
    assert 'mmdualhead/.mim/model-index.yml' in names
    weights = {
        f'mmdualhead/weights/{name}' for name in ('utd_mhad_j.pth', 'utd_mhad_stream.pth', 'stand_up.npy')
    }
    assert {'mmdualhead_cli.py', 'mmdualhead/skeletons.py', 'mmdualhead/py.typed', *weights} <= names
    assert not [name for name in names if name.startswith(('tests/', 'configs/')) or '__pycache__' in name]

    about = f'mmdualhead-{__version__}.dist-info'
    assert 'mmdualhead = mmdualhead_cli:main' in wheel.read(f'{about}/entry_points.txt').decode()
    metadata = wheel.read(f'{about}/METADATA').decode()
    required = re.findall(r'^Requires-Dist: ([\w-]+)[<>=]\S*$', metadata, re.MULTILINE)
    assert {name.replace('-lite', '') for name in required} == set(SUPPORTED)


class TestDescription:
    """What PyPI shows: the README, whose links and images lead to the release."""

    @pytest.fixture
    def described(self, project):
        def described(origin=''):
            if origin:
                for command in (['init', '-q'], ['remote', 'add', 'origin', origin]):
                    subprocess.run(['git', '-C', project, *command], check=True)
            metadata = build(project, 'wheel').read(f'mmdualhead-{__version__}.dist-info/METADATA').decode()
            return metadata.partition('\n\n')[2]

        return described

    @pytest.mark.parametrize(
        'origin', ['https://github.com/someone/heads.git', 'git@github.com:someone/heads.git']
    )
    def test_addresses_of_the_release(self, described, origin):
        text = described(origin)
        release = f'https://github.com/someone/heads/{{}}/v{__version__}'
        links = re.findall(r'(!?)\[[^\]]*\]\(([^)]+)\)', text)
        assert len(links) > 30
        for image, address in links:
            assert address.startswith('https://')
            if address.startswith('https://github.com/someone'):
                kind = release.format('raw' if image else 'blob')
                assert address.startswith(f'{kind}/')
                path, _, anchor = address.removeprefix(f'{kind}/').partition('#')
                assert (ROOT / path).is_file()
                assert not anchor or f'#{anchor}' in README or path != 'README.md'
        assert 'OWNER' not in text
        assert 'git clone https://github.com/someone/heads.git' in text

    def test_another_origin_keeps_the_placeholder(self, described):
        text = described('/somewhere/mmdualhead')
        assert f'(https://github.com/OWNER/mmdualhead/blob/v{__version__}/docs/train.md)' in text


@pytest.mark.heavy
def test_programs_and_their_helpers_run_from_a_wheel(project, tmp_path):
    """In an empty folder, without a clone; peak memory is measured in another process."""
    build(project, 'wheel').extractall(tmp_path / 'site')
    (tmp_path / 'empty').mkdir()
    small = ['--shape', *['1', '2', '16', '25'], '--repeats', '1', '--warmup', '0', '--threads', '1']
    equations = 'mmdualhead.apis.benchmark.reference:ReferenceNetwork'
    commands = {
        'benchmark': ['quickstart_j', equations, *small],
        'metafile': [],
        'draw-layouts': ['layouts.png'],
        'reproduce': ['--help'],
        'pack': ['--help'],
    }
    for name, arguments in commands.items():
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'mmdualhead', name, *arguments],
            cwd=tmp_path / 'empty',
            env={**os.environ, 'PYTHONPATH': str(tmp_path / 'site')},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / 'empty').iterdir()] == ['layouts.png']


def test_the_package_does_not_need_the_programs():
    helpers = '|'.join(path.parent.name for path in (ROOT / 'tools').glob('*/__init__.py'))
    for path in (ROOT / 'mmdualhead').rglob('*.py'):
        assert not re.search(rf'^\s*(from|import) ({helpers})\b', path.read_text(), re.MULTILINE), path


def test_editable_install_links_what_mim_looks_for(project):
    for _ in range(2):
        build(project, 'editable')
    for name in ('configs', 'tools', 'docs/examples', 'model-index.yml'):
        link = project / 'mmdualhead' / '.mim' / name
        assert link.is_symlink()
        assert link.resolve() == project / name


def test_model_index_names_only_what_exists():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for metafile in index['Import']:
        content = yaml.safe_load((ROOT / metafile).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        for model in content['Models']:
            assert model['In Collection'] in collections
            assert (ROOT / model['Config']).is_file(), model['Config']


def test_the_oldest_stack_is_that_of_version_py():
    lines = (ROOT / 'requirements' / 'oldest.txt').read_text().splitlines()
    pinned = dict(re.findall(r'([\w-]+)==([\d.]+)', '\n'.join(reversed(lines))))  # of several, the first one
    for name, supported in SUPPORTED.items():
        lowest = release(supported.lowest)
        assert release(pinned[name])[: len(lowest)] == lowest


def test_the_workflow_tests_the_pythons_that_are_promised():
    workflow = yaml.safe_load((ROOT / '.github' / 'workflows' / 'test.yml').read_text())
    job, stacks = workflow['jobs']['test'], workflow['jobs']['stacks']
    promised = re.findall(r'range\((\d+), (\d+)\)', (ROOT / 'setup.py').read_text())
    ((lowest, end),) = promised
    assert job['strategy']['matrix']['python'] == [f'3.{minor}' for minor in range(int(lowest), int(end))]
    assert stacks['strategy']['matrix']['python'] == job['strategy']['matrix']['python']
    assert 'bash tools/test.sh' in [step.get('run') for step in job['steps']]

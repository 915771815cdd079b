import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdualhead import doctor
from mmdualhead.errors import Level
from mmdualhead.version import SETUPTOOLS, SUPPORTED, __version__, check, problem, release

ROOT = Path(__file__).parents[1]
TESTED = {name: supported.tested for name, supported in SUPPORTED.items()}


def run_doctor(*flags, path=()):
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT]))}
    command = [sys.executable, *flags, str(ROOT / 'mmdualhead_cli.py'), 'doctor']
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd='/', timeout=300)
    return done.returncode, done.stdout, done.stderr


class TestVersions:
    @pytest.mark.parametrize(
        ('version', 'numbers'),
        [('2.13.0+cpu', (2, 13)), ('2.6.0a0+git', (2, 6)), ('0.10.7', (0, 10, 7)), ('2', (2,)), ('', (0,))],
    )
    def test_release(self, version, numbers):
        assert release(version) == numbers

    @pytest.mark.parametrize(
        ('package', 'version', 'fine'),
        [
            ('mmcv', '2.0.0', True),
            ('mmcv', '2.1.0', True),
            ('mmcv', '2.2.0', False),
            ('mmcv', '1.7.2', False),
            ('torch', '2.13.0+cu130', True),
            ('torch', '1.13.1', False),
            ('mmaction2', 'unknown', True),
            ('mmaction2', None, False),
        ],
    )
    def test_problem(self, package, version, fine):
        assert (problem(package, version) is None) == fine

    def test_tested_versions_are_supported_and_are_those_of_the_constraints(self):
        constraints = (ROOT / 'requirements' / 'constraints.txt').read_text()
        for name, supported in SUPPORTED.items():
            assert supported.tested in supported
            assert f'\n{name}=={supported.tested}' in constraints

    def test_check_names_everything_at_once(self, monkeypatch):
        check()
        versions = {**TESTED, 'mmcv': '2.2.0', 'torch': None}
        monkeypatch.setattr('mmdualhead.version.installed', versions.get)
        with pytest.raises(ImportError) as error:
            check()
        message = str(error.value)
        assert 'torch is not installed (needs >=2.6,<3)' in message
        assert 'mmcv 2.2.0 is not supported (needs >=2.0.0,<2.2.0)' in message
        assert '"mmdualhead doctor" shows how to fix it' in message


class TestFindings:
    def test_healthy_packages(self):
        assert {finding.level for finding in doctor.look_at_packages(TESTED.get)} == {None}

    @pytest.mark.parametrize(
        ('package', 'version', 'remedy'),
        [
            ('torch', None, "pip install 'torch>=2.6,<3'"),
            ('mmaction2', '1.1.0', "pip install 'mmaction2>=1.2.0,<1.3'"),
            ('mmcv', None, 'pip install mmcv-lite==2.1.0'),
            ('mmcv', '2.2.0', 'pip uninstall -y mmcv mmcv-lite && '),
        ],
    )
    def test_package_that_is_missing_or_unsupported(self, package, version, remedy):
        findings = doctor.look_at_packages({**TESTED, package: version}.get)
        broken = [finding for finding in findings if finding.level is Level.ERROR]
        assert [finding.subject for finding in broken] == [package]
        assert remedy in broken[0].remedy
        assert broken[0].remedy.startswith(sys.executable)

    def test_mmcv_twice(self):
        assert list(doctor.look_at_mmcv(['mmcv'])) == []
        (finding,) = doctor.look_at_mmcv(['mmcv-lite', 'mmcv'])
        assert finding.level is Level.ERROR
        assert 'uninstall -y mmcv mmcv-lite' in finding.remedy

    @pytest.mark.parametrize(
        ('modules', 'level'),
        [(('mim', 'pkg_resources'), None), (('mim',), Level.ERROR), ((), Level.NOTE)],
    )
    def test_mim(self, modules, level):
        finding = doctor.look_at_mim(modules.__contains__)
        assert finding.level is level
        assert (SETUPTOOLS in finding.remedy) == (level is not None)

    def test_mediapipe(self):
        assert doctor.look_at_mediapipe(lambda _: True).level is None
        missing = doctor.look_at_mediapipe(lambda _: False)
        assert missing.level is Level.NOTE
        assert missing.remedy.endswith('pip install mediapipe')

    @pytest.mark.parametrize(
        ('program', 'found', 'remedy'),
        [
            (
                'print("importing cv2"); raise ImportError("libGL.so.1: cannot open shared object file")',
                'libGL.so.1: cannot open',
                'opencv-contrib-python-headless',
            ),
            (
                'print("importing mmcv"); raise ImportError("mmcv/_ext.so: undefined symbol; mmcv._ext")',
                'undefined symbol',
                'mmcv-lite==2.1.0',
            ),
            ('print("importing mmengine"); import addict_; ', 'addict_', "--force-reinstall 'mmengine>="),
            (
                'print("importing mmengine"); raise ImportError("No module named \'addict\'")',
                "No module named 'addict'",
                'pip install addict',
            ),
            (
                'print("importing mmengine"); import pkgutil; pkgutil.NoImpImporter',
                "no attribute 'NoImpImporter'",
                f"pip install '{SETUPTOOLS}'",
            ),
            (
                'print("importing torch", flush=True); import os; os.kill(os.getpid(), 4)',
                'died with status -4',
                'torch',
            ),
            ('print("importing mmdualhead"); 1 / 0', 'ZeroDivisionError', ''),
            ('1 / 0', 'ZeroDivisionError', ''),
        ],
    )
    def test_trial_that_fails(self, program, found, remedy):
        (finding,) = doctor.try_training(program)
        assert finding.level is Level.ERROR
        assert found in finding.found
        assert remedy in finding.remedy
        assert bool(remedy) == bool(finding.remedy)

    @pytest.mark.parametrize(
        ('found', 'level'),
        [('AVX512_BF16', None), ('slower than float32', Level.NOTE), ('not measured', None)],
    )
    def test_half_precision(self, found, level):
        half, training = doctor.try_training(f"print('half', {found!r}); print('device', 'CPU')")
        assert half == doctor.Inspected('half precision on a CPU', found, 'AMX or AVX512_BF16', level)
        assert training.found == 'works on CPU'

    def test_trial_that_hangs(self, monkeypatch):
        monkeypatch.setattr(doctor, 'TIMEOUT', 0.2)
        (finding,) = doctor.try_training('import time; time.sleep(60)')
        assert finding.level is Level.ERROR

    def test_report_shows_long_reasons_in_full_and_each_command_once(self):
        long = 'because ' * 20
        finding = doctor.Inspected('cv2', long.strip(), 'works', Level.ERROR, 'fix it')
        text = doctor.report([finding, finding, doctor.Inspected('torch', '2.13.0')])
        assert long.strip() in text
        assert text.count('    fix it') == 1
        assert text.endswith('Training cannot run with this installation.')


def test_healthy_environment():
    status, out, err = run_doctor()
    assert (status, err) == (0, '')
    assert f'mmdualhead {__version__}' in ' '.join(out.split())
    assert out.strip().endswith('Everything that training needs is installed and works.')


def test_python_with_nothing_installed():
    status, out, err = run_doctor('-S')
    assert (status, err) == (1, '')
    for name in ('torch', 'mmengine', 'mmaction2'):
        assert f"pip install '{name}>=" in out
    assert 'pip install mmcv-lite==2.1.0' in out


def test_package_that_cannot_be_imported(tmp_path):
    (tmp_path / 'numpy.py').write_text('raise ImportError("half of it is missing")')
    status, out, err = run_doctor(path=[tmp_path])
    assert (status, err) == (1, '')
    assert 'importing numpy' in out
    assert 'half of it is missing' in out
    assert "--force-reinstall 'numpy>=1.24,<3'" in out

"""``mmdualhead doctor`` reports installed versions, what is broken, and the command that fixes it.

It needs nothing but Python itself: what might be broken is tried in a separate process. The exit status is 0
if training works and 1 if it can't.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import metadata, util
from typing import NamedTuple

from mmdualhead.errors import Finding, Level
from mmdualhead.version import MMCV_DISTRIBUTIONS, SETUPTOOLS, SUPPORTED, __version__, installed, problem

TIMEOUT = 300
"""Seconds that the trial may take; a cold disk makes the first import slow."""

WIDTH = 48
"""Characters of a cell of the table; longer text is shown in full below it."""

TRIAL = """
import importlib, sys
for module in {modules}:
    print('importing', module, flush=True)
    importlib.import_module(module)
print('training', 'a step', flush=True)
import io, torch
from mmaction.registry import MODELS
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
init_default_scope('mmaction')
model = MODELS.build(dict(
    type='RecognizerGCN',
    backbone=dict(type='STGCN', graph_cfg=dict(layout='coco', mode='spatial'), base_channels=4, num_stages=1),
    cls_head=dict(type='GCNHead', num_classes=2, in_channels=4)))
model.backbone(torch.randn(2, 1, 8, 17, 3)).sum().backward()
torch.optim.SGD(model.parameters(), lr=0.1).step()
print('reading', 'a checkpoint', flush=True)
file = io.BytesIO()
torch.save(dict(state_dict=model.state_dict(), history=HistoryBuffer([1.0], [1])), file)
file.seek(0)
torch.load(file)
import mmdualhead
for fault in mmdualhead.REPAIRED:
    print('repaired', fault, flush=True)
from mmdualhead.utils.half import fast_half, slow_half
print('half', fast_half() or ('slower than float32' if slow_half('cpu') else 'not measured'), flush=True)
print('device', torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU', flush=True)
"""
"""Runs the steps of training one by one; prints each step before trying it."""

MODULES = ('numpy', 'cv2', 'torch', 'mmengine', 'mmcv', 'importlib_metadata', 'mmaction', 'mmdualhead')


class Inspected(NamedTuple):
    """A row of the table.

    Args:
        subject: what was checked.
        found: what was found.
        wanted: what is needed.
        level: an error if training cannot work, a note if it still works, None if nothing is wrong.
        remedy: the command that fixes it.
    """

    subject: str
    found: str
    wanted: str = ''
    level: Level | None = None
    remedy: str = ''


def pip(*arguments: str) -> str:
    """A pip command for the Python that runs this, to be typed into a shell."""
    return shlex.join([sys.executable, '-m', 'pip', *arguments])


MMCV_LITE = f'mmcv-lite=={SUPPORTED["mmcv"].tested}'
RENEW_MMCV = f'{pip("uninstall", "-y", *MMCV_DISTRIBUTIONS)} && {pip("install", MMCV_LITE)}'
HEADLESS = 'opencv-contrib-python-headless'
RENEW_OPENCV = ' && '.join(
    [pip('uninstall', '-y', 'opencv-python', 'opencv-contrib-python', HEADLESS), pip('install', HEADLESS)]
)

PACKAGES = {
    'cv2': 'opencv-contrib-python',
    'mmaction': 'mmaction2',
    'mmcv': 'mmcv-lite',
    'PIL': 'Pillow',
    'yaml': 'pyyaml',
}
"""The package of a module, if named differently."""

KNOWN_FAULTS = (
    (r'libGL|libgthread|libglib|libxcb', RENEW_OPENCV),
    (r'ImpImporter|pkg_resources', pip('install', SETUPTOOLS)),
    (r'mmcv\._ext|MMCV==|undefined symbol.*mmcv', RENEW_MMCV),
    (
        r'numpy\.core\.multiarray|NumPy 1\.x|_ARRAY_API',
        pip('install', '--upgrade', f'numpy{SUPPORTED["numpy"]}'),
    ),
)
"""Known errors and their fixes."""


def look_at_packages(version_of: Callable[[str], str | None] = installed) -> Iterator[Inspected]:
    """One finding per supported package.

    Args:
        version_of: returns the version of an installed package, or None.
    """
    for name, supported in SUPPORTED.items():
        version = version_of(name)
        if problem(name, version) is None:
            yield Inspected(name, str(version), str(supported))
            continue
        remedy = pip('install', f'{name}{supported}')
        if name == 'mmcv':
            remedy = RENEW_MMCV if version else pip('install', MMCV_LITE)
        yield Inspected(name, version or 'not installed', str(supported), Level.ERROR, remedy)


def look_at_mmcv(providers: Collection[str] | None = None) -> Iterator[Inspected]:
    """A finding if both packages of mmcv are installed, one overwriting the other.

    Args:
        providers: the packages that have the module; by default the installed ones.
    """
    if providers is None:
        providers = metadata.packages_distributions().get('mmcv', ())
    if set(MMCV_DISTRIBUTIONS) <= set(providers):
        yield Inspected('mmcv', 'twice: mmcv and mmcv-lite', 'one of them', Level.ERROR, RENEW_MMCV)


def look_at_mim(has_module: Callable[[str], object] = util.find_spec) -> Inspected:
    """Whether ``mim train`` can start; without mim, ``mmdualhead train`` still does.

    Args:
        has_module: returns whether a module is installed.
    """
    if not has_module('mim'):
        install = pip('install', 'openmim==0.3.9', SETUPTOOLS)
        return Inspected('mim', 'not installed', 'for "mim train"', Level.NOTE, install)
    if not has_module('pkg_resources'):
        install = pip('install', SETUPTOOLS)
        return Inspected('mim', 'lacks pkg_resources', SETUPTOOLS, Level.ERROR, install)
    return Inspected('mim', 'works', 'for "mim train"')


def look_at_mediapipe(has_module: Callable[[str], object] = util.find_spec) -> Inspected:
    """Whether ``mmdualhead video`` can estimate poses.

    Args:
        has_module: returns whether a module is installed.
    """
    if has_module('mediapipe'):
        return Inspected('mediapipe', 'installed', 'for "mmdualhead video"')
    install = pip('install', 'mediapipe')
    return Inspected('mediapipe', 'not installed', 'for "mmdualhead video"', Level.NOTE, install)


def try_training(program: str = TRIAL.format(modules=MODULES)) -> Iterator[Inspected]:
    """Import everything, train a step and read a checkpoint, in a separate process."""
    try:
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', program], capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        yield Inspected('training', f'no answer in {TIMEOUT} s', 'works', Level.ERROR)
        return
    steps = [line.split(' ', 1) for line in done.stdout.splitlines() if ' ' in line]
    repaired = [what for step, what in steps if step == 'repaired']
    for what in (what for step, what in steps if step == 'half'):
        level = Level.NOTE if what.startswith('slower') else None
        yield Inspected('half precision on a CPU', what, 'AMX or AVX512_BF16', level)
    yield from (Inspected('repair', fault, 'worked around by mmdualhead', Level.NOTE) for fault in repaired)
    if done.returncode == 0:
        yield Inspected('training', f'works on {steps[-1][1]}', 'works')
        return
    step, what = steps[-1] if steps else ('starting', 'Python')
    last_line = done.stderr.strip().rpartition('\n')[2][:200]
    reason = last_line or f'died with status {done.returncode}'
    yield Inspected(f'{step} {what}', reason, 'works', Level.ERROR, _remedy(done.stderr, what))


def _remedy(error: str, module: str) -> str:
    """The command that fixes a known error or a missing requirement, or else reinstalls the module."""
    for pattern, remedy in KNOWN_FAULTS:
        if re.search(pattern, error):
            return remedy
    missing = re.search(r"No module named '(\w+)", error)
    package = PACKAGES.get(missing.group(1), missing.group(1)) if missing else ''
    if package.lower() in _requirements():
        return pip('install', package)
    owner = PACKAGES.get(module, module)
    if module not in MODULES or owner == 'mmdualhead':
        return ''
    supported = SUPPORTED.get('mmcv' if owner == 'mmcv-lite' else owner, '')
    return pip('install', '--force-reinstall', f'{owner}{supported}')


def _requirements() -> set[str]:
    """The names of the packages that OpenMMLab's packages require."""
    lines: list[str] = []
    for package in ('mmaction2', 'mmengine', *MMCV_DISTRIBUTIONS):
        with contextlib.suppress(metadata.PackageNotFoundError):
            lines += metadata.requires(package) or ()
    return {name.group().lower() for line in lines if (name := re.match(r'[\w.-]+', line))}


def examine() -> list[Inspected]:
    """Run all checks; training is tried only if every package is installed in a supported version."""
    findings = [
        Inspected('mmdualhead', __version__),
        Inspected('Python', '.'.join(map(str, sys.version_info[:3])), '>=3.10'),
        *look_at_packages(),
        *look_at_mmcv(),
        look_at_mim(),
        look_at_mediapipe(),
    ]
    if not any(finding.level is Level.ERROR for finding in findings):
        findings += try_training()
    return findings


def report(findings: Sequence[Inspected]) -> str:
    """The findings as a table, the commands that fix what is broken, and a one-line conclusion."""
    states = [finding.level.value if finding.level else 'ok' for finding in findings]
    found = [(*finding[:3], state) for finding, state in zip(findings, states, strict=True)]
    table = [('what', 'found', 'supported', 'status'), *found]
    rows = [[textwrap.shorten(cell, WIDTH) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ['-' * width for width in widths])
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    broken = [finding for finding in findings if finding.level is Level.ERROR]
    optional = [finding for finding in findings if finding.level is Level.NOTE]
    lines += [f'\n{Finding(Level.ERROR, f.subject, f.found)}' for f in broken if len(f.found) > WIDTH]
    for heading, some in (('To fix it:', broken), ('If you want it:', optional)):
        if remedies := dict.fromkeys(f'    {f.remedy}' for f in some if f.remedy):
            lines += ['', heading, *remedies]
    good = 'Everything that training needs is installed and works.'
    verdict = 'Training cannot run with this installation.' if broken else good
    return '\n'.join([*lines, '', verdict])


def main() -> int:
    """Print the report.

    Returns:
        The exit status.
    """
    findings = examine()
    print(report(findings))
    return int(any(finding.level is Level.ERROR for finding in findings))


if __name__ == '__main__':
    sys.exit(main())

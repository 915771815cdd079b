"""The versions of mmdualhead and its dependencies. setup.py runs this file on bare Python."""

from __future__ import annotations

import re
from importlib import metadata, util
from typing import NamedTuple

__version__ = '0.1.0'


class Supported(NamedTuple):
    """The releases of a package that mmdualhead works with: ``lowest <= version < below``."""

    lowest: str
    below: str
    tested: str

    def __str__(self) -> str:
        return f'>={self.lowest},<{self.below}'

    def __contains__(self, version: object) -> bool:
        return release(self.lowest) <= release(str(version)) < release(self.below)


SUPPORTED: dict[str, Supported] = {
    'torch': Supported('2.6', '3', tested='2.13.0'),
    'numpy': Supported('1.24', '3', tested='2.4.6'),
    'mmengine': Supported('0.10.4', '0.11', tested='0.10.7'),
    'mmcv': Supported('2.0.0', '2.2.0', tested='2.1.0'),
    'mmaction2': Supported('1.2.0', '1.3', tested='1.2.0'),
    'importlib_metadata': Supported('4', '99', tested='10.2.0'),
}
"""One row per package; ``mmcv`` denotes either of :data:`MMCV_DISTRIBUTIONS`."""

MMCV_DISTRIBUTIONS = ('mmcv', 'mmcv-lite')
"""Both provide the module ``mmcv``. The lite one has no compiled operators, and skeleton models need none."""

SETUPTOOLS = 'setuptools>=66.1,<81'
"""For mim, which imports ``pkg_resources``: 81 dropped it, and before 66.1 Python 3.12 can't import it."""

MODULES = {'mmaction2': 'mmaction'}
"""The module of a package, if named differently."""


def release(version: str) -> tuple[int, ...]:
    """The numbers a version starts with: ``'2.6.0a0+cu126'`` gives ``(2, 6)``, like ``'2.6'``."""
    numbers = re.match(r'\d+(\.\d+)*', version)
    parts = [int(part) for part in numbers.group().split('.')] if numbers else [0]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def installed(package: str) -> str | None:
    """The version of a package that is installed; ``'unknown'`` for a module without one; else None."""
    for distribution in MMCV_DISTRIBUTIONS if package == 'mmcv' else (package,):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return 'unknown' if util.find_spec(MODULES.get(package, package)) else None


def problem(package: str, version: str | None) -> str | None:
    """A short message on an unsupported version of a package; None if it is supported."""
    if version is None:
        return f'{package} is not installed'
    if version != 'unknown' and version not in SUPPORTED[package]:
        return f'{package} {version} is not supported'
    return None


def check() -> None:
    """Raise one ImportError that names every package with an unsupported version."""
    problems = [
        f'{text} (needs {SUPPORTED[name]})' for name in SUPPORTED if (text := problem(name, installed(name)))
    ]
    if problems:
        raise ImportError(
            f'mmdualhead {__version__} cannot run with this installation: {"; ".join(problems)}. '
            '"mmdualhead doctor" shows how to fix it.'
        )

"""Which program is running, and where the files are that are not modules: configs and tools.

The command ``mmdualhead``, which also has to start where the packages below are broken, and the converters
of ``tools/data``, which need none of them, import single parts of the package in a fraction of the time that
all of it takes. What they run calls :func:`mmdualhead.register` when it needs the registries.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def starts_light(
    argv: Sequence[str] = sys.argv, orig_argv: Sequence[str] = sys.orig_argv, package: Path = PACKAGE
) -> bool:
    """Whether the running program registers parts itself, if at all: ``mmdualhead`` or a converter.

    Args:
        argv: ``sys.argv``. While Python looks for the module to run, for which it imports this package, its
            first entry is ``-m``.
        orig_argv: ``sys.orig_argv``.
        package: the folder of the package.
    """
    if not argv:
        return False
    if argv[0] == '-m':
        module = orig_argv[orig_argv.index('-m') + 1]
        return module.split('.')[0] == package.name
    program = Path(argv[0]).absolute()
    converters = [tools / 'data' for tools in (package / '.mim' / 'tools', package.parent / 'tools')]
    return program.stem == package.name or program.parent in (package, *converters)


def shipped(kind: str) -> Path:
    """The folder of the shipped ``configs`` or ``tools``: beside the package in a clone, else inside it."""
    inside = PACKAGE / '.mim' / kind
    return (inside if inside.is_dir() else PACKAGE.parent / kind).resolve()


def config_files(folder: Path) -> list[Path]:
    """The configs in a folder that can be run: all but those that others are built on."""
    return sorted(path for path in folder.rglob('*.py') if '_base_' not in path.relative_to(folder).parts)


def find_configs() -> dict[str, Path]:
    """The shipped configs by name."""
    paths = sorted(config_files(shipped('configs')), key=lambda path: len(path.parts))
    return {path.stem: path for path in paths}


def find_config(name: str) -> Path | None:
    """The shipped config of a name, or of its path in a clone, with or without ``.py``; or None.

    A file of the same name in another folder is another config, and is missing if it is not there.
    """
    path = Path(name)
    config = find_configs().get(path.name.removesuffix('.py'))
    if config is None:
        return None
    in_clone = Path('configs', config.parent.relative_to(shipped('configs')))
    return config if path.parent in (Path(), in_clone) else None

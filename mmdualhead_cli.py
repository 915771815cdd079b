"""The command ``mmdualhead``, which also starts if dependencies are broken."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

LIGHT = ('help', '--help', '-h', '--version', 'doctor', 'configs', 'examples')
"""The commands that need nothing but Python."""


def main() -> int:
    """Run the command line of this process.

    Returns:
        The exit status.
    """
    if (sys.argv[1:] or ['help'])[0] in LIGHT:
        skip_registration()
    try:
        from mmdualhead.cli import main as run
    except ImportError as error:
        hint = '' if 'mmdualhead doctor' in str(error) else '; "mmdualhead doctor" shows how to fix it'
        sys.exit(f'error: {error}{hint}')
    return run()


def skip_registration() -> None:
    """Let modules of mmdualhead be imported without its ``__init__``, which needs all dependencies."""
    package = ModuleType('mmdualhead')
    package.__path__ = [str(Path(__file__).resolve().parent / 'mmdualhead')]
    sys.modules['mmdualhead'] = package


if __name__ == '__main__':
    sys.exit(main())

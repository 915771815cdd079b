"""``python light.py PROGRAM ARGUMENTS``: converters and readers, in a process that starts without PyTorch.

The packages above them import MMAction2, which takes seconds; they are left out.
"""

import runpy
import sys
import types
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / 'mmdualhead'

for name, path in (('mmdualhead', PACKAGE), ('mmdualhead.datasets', PACKAGE / 'datasets')):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(path)]

if __name__ == '__main__':
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name='__main__')

"""``python -m mmdualhead`` is the command ``mmdualhead``."""

import sys

from mmdualhead.cli import main

if __name__ == '__main__':
    sys.exit(main())

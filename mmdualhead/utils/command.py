"""How the programs in ``tools/`` read arguments and end."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable


def make_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser that describes a program by its docstring."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_main(main: Callable[[], None]) -> None:
    """Run a program; what is wrong with its input or output ends it with one line and status 1."""
    try:
        main()
        sys.stdout.flush()
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, OSError):
            # What a full disk or a closed pipe did not take can't be written at the end, either.
            sys.stdout = None
        reason = re.sub(r'^\[Errno \d+\] ', '', str(error))
        sys.exit(f'error: {" ".join(reason.split())}')

"""The command line that all converters share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from .recording import ConversionError, RawDataset
from .runner import convert
from .sinks import PickleSink


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """SRC, OUT and the options that every converter has.

    Args:
        description: says what is converted; a tool's docstring.

    Returns:
        The parser, to which a tool may add options of its own.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('src', help='directory of the raw files')
    parser.add_argument('out', help='the annotation file to write')
    parser.add_argument('--workers', type=int, help='processes (default: all processors)')
    parser.add_argument(
        '--on-error',
        choices=('raise', 'skip'),
        default='raise',
        help='malformed files: name them and write nothing, or leave them out (default: raise)',
    )
    return parser


def run(args: argparse.Namespace, scan: Callable[..., RawDataset], **options: Any) -> None:
    """Convert and print the summary; what is wrong with the raw files ends in one sentence and status 1.

    Args:
        args: parsed by :func:`make_parser`'s parser.
        scan: finds the raw files; called with the source directory.
        options: the tool's own, handed to ``scan``.
    """
    try:
        summary = convert(
            scan(args.src, **options),
            args.out,
            sink=PickleSink,
            workers=args.workers,
            skip_malformed=args.on_error == 'skip',
        )
    except (ConversionError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit(f'\nstopped; the same command goes on from {args.out}.parts')
    print(summary)

"""The command line that all converters share."""

from __future__ import annotations

import argparse

from .recording import RawDataset
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


def run(dataset: RawDataset, args: argparse.Namespace) -> None:
    """Convert, and print the summary.

    Args:
        dataset: what to convert.
        args: parsed by :func:`make_parser`'s parser.
    """
    summary = convert(
        dataset, args.out, sink=PickleSink, workers=args.workers, skip_malformed=args.on_error == 'skip'
    )
    print(summary)

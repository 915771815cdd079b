"""The command line that all converters share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmdualhead.datasets.annotations.clip_files import SUFFIX as STORE_SUFFIX
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.skeletons import Skeleton, get_skeleton
from mmdualhead.utils.command import as_typed, one_line_errors

from .raw_clip import Normalize
from .raw_dataset import UNFINISHED_SUFFIX, RawDataset
from .runner import convert


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """SRC, OUT and the options that every converter has; a tool may add its own options.

    Args:
        description: what is converted; the tool's docstring.
    """
    parser = argparse.ArgumentParser(description=as_typed(description))
    parser.add_argument('src', help='directory of the raw files')
    parser.add_argument(
        'out', help=f'the result: a pickle (NAME.pkl), or with --store a directory (NAME{STORE_SUFFIX})'
    )
    parser.add_argument(
        '--store',
        action='store_true',
        help='write a store, which is read clip by clip and never loaded completely',
    )
    parser.add_argument(
        '--normalize',
        action='store_true',
        help='store the clips normalized as NormalizeSkeleton3D does, once instead of in every epoch',
    )
    parser.add_argument(
        '--workers', type=_count, help='worker processes, 0 to work in this process (default: all processors)'
    )
    parser.add_argument(
        '--on-error',
        choices=('raise', 'skip'),
        default='raise',
        help='malformed files: report them and write nothing, or skip them (default: raise)',
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of processes')
    return int(text)


def run(
    parser: argparse.ArgumentParser, scan: Callable[..., RawDataset], argv: Sequence[str] | None = None
) -> None:
    """Convert and print the summary; faults of the raw files end it with one line and status 1.

    Args:
        parser: :func:`make_parser`'s.
        scan: finds the raw files; called with the source directory and, by name, with the options that the
            tool added to the parser.
        argv: the arguments, by default those of the command line.
    """
    options = vars(parser.parse_args(argv))
    shared = ('src', 'out', 'store', 'normalize', 'workers', 'on_error')
    src, out, store, normalize, workers, on_error = (options.pop(name) for name in shared)
    try:
        with one_line_errors():
            _check_target(Path(out), store)
            dataset = scan(src, **options)
            normalizer = make_normalizer(dataset.meta['layout']) if normalize else None
            skip = on_error == 'skip'
            print(convert(dataset, out, normalize=normalizer, workers=workers, skip_malformed=skip))
    except KeyboardInterrupt:
        sys.exit(f'stopped; the same command continues from {out}{UNFINISHED_SUFFIX}')


def _check_target(out: Path, store: bool) -> None:
    """Reject a wrong suffix, and a target that is not an older result."""
    if store != (out.suffix == STORE_SUFFIX):
        raise UserError(
            f'{out}: a store is named NAME{STORE_SUFFIX} and made with --store; a pickle has another suffix'
        )
    if out.exists() and not ((out / 'meta.json').is_file() if store else out.is_file()):
        raise UserError(f'{out} exists and is not {"a store" if store else "a file"}, so it is not replaced')


def make_normalizer(layout: Any) -> Normalize:
    """The function that ``--normalize`` applies to each clip; the layout must have depth."""
    skeleton = get_skeleton(layout)
    if skeleton.up is None:
        raise UserError(
            f'--normalize rotates skeletons upright, and layout {skeleton.name!r} does not define up'
        )
    return partial(_normalize, skeleton=skeleton)


def _normalize(clip: Recording, skeleton: Skeleton) -> Recording:
    from mmdualhead.datasets.transforms.normalize import normalize_clip

    found, score = normalize_clip(clip.keypoint, skeleton), clip.keypoint_score
    score = None if score is None else score[found.persons][:, found.frames]
    return replace(clip, keypoint=found.keypoint, keypoint_score=score)

"""The command-line options of all programs that read recordings."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from mmdualhead.datasets.plausibility import UNIT_SIZES
from mmdualhead.skeletons import ALIASES, SKELETONS

READING = ('layout', 'unit', 'img_shape', 'most_active', 'per_person', 'pair_distance')


def add_joint_options(parser: Any) -> None:
    """Add what arrays and tables do not tell: ``--layout`` and ``--unit``."""
    parser.add_argument(
        '--layout', choices=sorted([*SKELETONS, *ALIASES]), help='of arrays and tables of your own'
    )
    parser.add_argument('--unit', choices=tuple(UNIT_SIZES), help='of arrays and tables of your own')


def add_image_option(parser: Any) -> None:
    """Add ``--img-shape``."""
    parser.add_argument(
        '--img-shape', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help='of joints in an image'
    )


def add_reading_options(parser: ArgumentParser) -> None:
    """Add the options of :func:`reading_options`, and ``--split``."""
    add_joint_options(parser)
    add_image_option(parser)
    parser.add_argument('--split', help='of annotation files, only this split')
    parser.add_argument(
        '--most-active', action='store_true', help='of too many persons, keep the most active ones'
    )
    parser.add_argument('--per-person', action='store_true', help='a prediction for each person')
    parser.add_argument(
        '--pair-distance',
        type=float,
        metavar='D',
        help='with --per-person, also for two persons whose centers are closer than this, in the '
        'unit of the joints',
    )


def reading_options(args: Namespace) -> dict[str, Any]:
    """The arguments of :class:`~mmdualhead.apis.SkeletonInferencer` that the options stand for."""
    given = {name: getattr(args, name) for name in READING}
    return {**given, 'img_shape': given['img_shape'] and tuple(given['img_shape'])}

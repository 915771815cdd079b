"""Analyze a model's errors: confusion matrix, per-class gains, calibration; figures and a table.

python tools/analyze.py work_dirs/dualhead_ntu60_xsub_j --against work_dirs/msg3d_ntu60_xsub_j --out errors
"""

import argparse
from pathlib import Path

from mmdualhead.evaluation.errors import ErrorReport
from mmdualhead.evaluation.readers import add_clip_options, chosen_clips, read_class_names, read_scores
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.files import write_text
from mmdualhead.visualization import draw_errors


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('pred', help='a dump of scores, a fusion (ensemble --out), or a work dir')
    parser.add_argument('--against', metavar='PRED', help='another model to compare with')
    parser.add_argument(
        '--classes', metavar='FILE', help='class names, one per line, or an annotation file that has them'
    )
    add_clip_options(parser)
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('errors'),
        help='folder of errors.md and the figures (default: errors)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    clips = chosen_clips(args.ann_file, args.split, args.without_duplicates)
    classes = read_class_names(args.classes) if args.classes else None
    other = read_scores(args.against, clips) if args.against else None
    report = ErrorReport(read_scores(args.pred, clips), classes, other)
    table = args.out / 'errors.md'
    write_text(table, report.to_markdown())
    print(table)
    print(*draw_errors(report, args.out), sep='\n')


if __name__ == '__main__':
    run_main(main)

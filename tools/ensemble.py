"""Fuse the dumped scores of several streams, joined by clip name.

python tools/ensemble.py work_dirs/dualhead_ntu60_xsub_{j,b,jm,bm} --weights 2:2:1:1
"""

import argparse
import json
from pathlib import Path

from mmdualhead.errors import UserError
from mmdualhead.evaluation.ensemble import ensemble
from mmdualhead.evaluation.readers import add_clip_options, chosen_clips
from mmdualhead.evaluation.scores import save_scores
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.files import STDOUT, keep_inputs, write_text


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('pred', nargs='+', help='a dump of scores or the work dir of a tested stream')
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        '--weights',
        nargs='+',
        default=['equal'],
        metavar='W',
        help='one per stream, a ratio such as 2:2:1:1, or equal (default)',
    )
    weights.add_argument(
        '--search',
        metavar='PART',
        help='search for weights on this part of the clips (a fraction, or a file of names); report the rest',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='selects the fraction that --search holds out (default: 0)'
    )
    add_clip_options(parser)
    parser.add_argument('--json', type=Path, metavar='OUT', help='write all figures as JSON, - to print them')
    parser.add_argument('--markdown', type=Path, metavar='OUT', help='the table as Markdown, - to print it')
    parser.add_argument('--out', type=Path, help='write the fused scores (.npz), e.g. for analyze')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_targets(args)
    clips = chosen_clips(args.ann_file, args.split, args.without_duplicates)
    report, fused = ensemble(args.pred, args.weights, clips, args.search, args.seed)
    if STDOUT not in (args.json, args.markdown, args.out):
        print(report.to_text())
    if args.json:
        write_text(args.json, json.dumps(report.to_dict(), indent=2) + '\n')
    if args.markdown:
        write_text(args.markdown, report.to_markdown())
    if args.out:
        save_scores(fused, args.out)


def check_targets(args: argparse.Namespace) -> None:
    """Refuse to write over a stream, or scores into a work dir, whose newest dump would be the fusion."""
    keep_inputs((args.json, args.markdown, args.out), args.pred)
    folders = [Path(stream).resolve() for stream in args.pred if Path(stream).is_dir()]
    for folder in args.out.resolve().parents if args.out else ():
        if folder in folders or (folder / 'last_checkpoint').exists():
            raise UserError(f'--out is in the work dir {folder}, whose newest scores the fusion would become')


if __name__ == '__main__':
    run_main(main)

"""Recognize actions in recordings: files, directories, patterns, annotation files.

python tools/predict.py --example
python tools/predict.py a1_s2_t1_skeleton.mat
python tools/predict.py 'clips/*.skeleton' --model work_dirs/dualhead_ntu60_xsub_{j,b,jm,bm} --json out.json
"""

import argparse
import sys
from pathlib import Path

from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.evaluation.answer import report, to_table, write_csv
from mmdualhead.skeletons import ALIASES, SKELETONS
from mmdualhead.utils.command import add_import_option, make_parser, run_main


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('recordings', nargs='*', metavar='RECORDING', help='a file, a directory or a pattern')
    parser.add_argument('--example', action='store_true', help='take the recording that the package carries')
    parser.add_argument(
        '--model',
        nargs='+',
        help='a checkpoint or work dir, one per stream, or the name of a config with --weights '
        '(default: the model that the package carries)',
    )
    parser.add_argument('--weights', nargs='+', help='the checkpoint of a config, one per stream')
    parser.add_argument(
        '--stream-weights', nargs='+', default=['equal'], help='one per stream, 1:1, 2:2:1:1, or equal'
    )
    parser.add_argument('--top', type=int, default=5, help='how many classes to name (default: 5)')
    out = parser.add_mutually_exclusive_group()
    out.add_argument('--json', type=Path, metavar='OUT', help='write everything that is known as JSON')
    out.add_argument('--csv', type=Path, metavar='OUT', help='write the best classes as CSV')
    parser.add_argument('--view', type=Path, metavar='DIR', help='write a page per recording and an index')
    parser.add_argument('--layout', choices=sorted([*SKELETONS, *ALIASES]), help='of your own recordings')
    parser.add_argument('--unit', choices=('m', 'cm', 'mm'), help='of your own recordings')
    parser.add_argument(
        '--img-shape', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help='of joints in pixels'
    )
    parser.add_argument('--split', help='of annotation files, only this split')
    parser.add_argument(
        '--most-active', action='store_true', help='of too many persons, keep the most active ones'
    )
    parser.add_argument('--batch-size', type=int, default=8, help='recordings at once (default: 8)')
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the first there is)')
    add_import_option(parser)
    args = parser.parse_args()
    args.recordings += [SkeletonInferencer.example()] * args.example
    if not args.recordings:
        parser.error('expected a RECORDING or --example')
    return args


def main() -> None:
    args = parse_args()
    inferencer = SkeletonInferencer(
        args.model,
        args.weights,
        args.device,
        stream_weights=args.stream_weights,
        show_progress=sys.stderr.isatty(),
    )
    for line in inferencer.describe():
        sys.stderr.write(f'model: {line}\n')
    result = inferencer(
        args.recordings,
        batch_size=args.batch_size,
        on_error='skip',
        layout=args.layout,
        unit=args.unit,
        img_shape=args.img_shape and tuple(args.img_shape),
        split=args.split,
        most_active=args.most_active,
        vis_out_dir=args.view,
        pred_out_file=args.json,
        top=args.top,
    )
    answers, left_out = result['predictions'], result['left_out']
    if args.csv is not None:
        write_csv(answers, args.csv, args.top)
    print(to_table(answers, args.top))
    if result['visualization'] is not None:
        sys.stderr.write(f'pages: {result["visualization"]}\n')
    report(answers, left_out)
    if left_out:
        sys.exit(1)


if __name__ == '__main__':
    run_main(main)

"""Show clips and a model's predictions for them in a browser.

python tools/visualize.py clips/ --model work_dirs/quickstart_j --out DIR
python tools/visualize.py data/skeleton/utd_mhad.pkl --split xsub_val --scores work_dirs/utd_mhad_j --out DIR
"""

import argparse
import sys
from pathlib import Path

from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.options import add_reading_options, reading_options
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.evaluation.answer import report, scored_answers
from mmdualhead.utils.command import add_import_option, make_parser, run_main
from mmdualhead.visualization.drawings import draw_animation, draw_strip
from mmdualhead.visualization.pages import check_pages, write_pages


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        'recordings', nargs='+', metavar='RECORDING', help='a file, a directory, a pattern, annotations'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='directory of the pages')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--model', nargs='+', help='a checkpoint or work dir, one per stream (default: the packaged model)'
    )
    source.add_argument(
        '--scores', type=Path, help='dumped scores of the clips of one annotation file; shows no attention'
    )
    add_reading_options(parser)
    parser.add_argument(
        '--every', type=int, default=1, metavar='N', help='only every Nth clip (default: all)'
    )
    parser.add_argument('--strip', action='store_true', help='also draw a PNG strip per clip')
    parser.add_argument('--film', choices=('gif', 'mp4'), help='also write a film per clip')
    parser.add_argument('--batch-size', type=int, default=8, help='recordings at once (default: 8)')
    add_import_option(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.every < 1:
        raise ValueError(f'--every {args.every}: expected 1 or more')
    check_pages(args.out)
    left_out: dict[str, str] = {}
    options = reading_options(args)
    if args.scores:
        if len(args.recordings) != 1:
            raise ValueError('--scores belong to one annotation file')
        if given := [name for name, value in options.items() if value]:
            raise ValueError(f'{given[0]}: the scores are those of whole recordings as annotated')
        answers = scored_answers(args.scores, args.recordings[0], args.split, args.every)
    else:
        inferencer = SkeletonInferencer(args.model)
        items = find_recordings(args.recordings, options['img_shape'], args.split)[:: args.every]
        skipping = dict(on_error='skip', left_out=left_out)
        answers = list(inferencer.iterate(items, args.batch_size, **skipping, **options))
    report(answers, left_out)
    if not answers:
        raise ValueError('there is nothing to show')
    index = write_pages(answers, args.out)
    for i, answer in enumerate(answers):
        if args.strip:
            draw_strip(answer, args.out / f'clip_{i:04}.png')
        if args.film:
            draw_animation(answer, args.out / f'clip_{i:04}.{args.film}')
    print(f'open {index}')
    if left_out:
        sys.exit(1)


if __name__ == '__main__':
    run_main(main)

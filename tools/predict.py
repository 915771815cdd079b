"""Recognize actions in recordings: files, directories, patterns, annotation files.

python tools/predict.py --example
python tools/predict.py a1_s2_t1_skeleton.mat
python tools/predict.py 'clips/*.skeleton' --model work_dirs/dualhead_ntu60_xsub_{j,b,jm,bm} --json out.json
python tools/predict.py clips/ --per-person --jsonl - | head

Predictions are printed as they are made. After Ctrl-C or SIGTERM, files contain those made so far.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.options import add_reading_options, reading_options
from mmdualhead.apis.recordings import find_recordings
from mmdualhead.datasets.recording import Recording
from mmdualhead.evaluation.answer import Answer, report_notes, report_skipped
from mmdualhead.evaluation.outputs import Write, csv_file, json_file, json_lines, table
from mmdualhead.utils.command import add_import_option, exits_on_signals, make_parser, run_main
from mmdualhead.utils.files import STDOUT, keep_inputs
from mmdualhead.visualization.pages import check_pages, write_pages


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('recordings', nargs='*', metavar='RECORDING', help='a file, a directory or a pattern')
    parser.add_argument(
        '--example', action='store_true', help='take a packaged recording, of a generated person'
    )
    parser.add_argument(
        '--model',
        nargs='+',
        help='a checkpoint or work dir, one per stream, or the name of a config with --weights '
        '(default: the packaged models, chosen by the recording)',
    )
    parser.add_argument('--weights', nargs='+', help='the checkpoint of a config, one per stream')
    parser.add_argument(
        '--stream-weights',
        nargs='+',
        default=['equal'],
        help='one per stream, a ratio such as 2:2:1:1, or equal (default)',
    )
    parser.add_argument('--top', type=int, default=5, help='how many classes to name (default: 5)')
    group = parser.add_argument_group('output', 'OUT is a file, or - for the standard output')
    out = group.add_mutually_exclusive_group()
    out.add_argument('--json', type=Path, metavar='OUT', help='write everything that is known as JSON')
    out.add_argument(
        '--jsonl', type=Path, metavar='OUT', help='the same, a line per prediction as it is made'
    )
    out.add_argument('--csv', type=Path, metavar='OUT', help='write the best classes as CSV')
    parser.add_argument('--view', type=Path, metavar='DIR', help='write a page per recording and an index')
    add_reading_options(parser)
    parser.add_argument(
        '--batch-size', type=int, help='the most recordings at once (default: as many as are fast)'
    )
    parser.add_argument(
        '--half', action='store_true', help='in half precision, where the processor is fast at it'
    )
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the first GPU, or else the CPU)')
    add_import_option(parser)
    args = parser.parse_args()
    args.recordings += [SkeletonInferencer.example()] * args.example
    if not args.recordings:
        parser.error('expected a RECORDING, before --model, which takes all words after it, or --example')
    return args


def outputs(
    args: argparse.Namespace, recordings: list[Recording], left_out: dict[str, str], files: ExitStack
) -> Iterator[Write]:
    """What to do with each prediction: what is printed is already in the files."""
    if args.jsonl is not None:
        yield files.enter_context(json_lines(args.jsonl, args.top))
    if args.json is not None:
        yield files.enter_context(json_file(args.json, args.top, left_out))
    if args.csv is not None:
        yield files.enter_context(csv_file(args.csv, args.top))
    if STDOUT not in (args.jsonl, args.json, args.csv):
        names = [recording.name for recording in recordings]
        yield files.enter_context(table(names, args.top, args.per_person))
    yield report_notes


def predict(
    args: argparse.Namespace, inferencer: SkeletonInferencer, left_out: dict[str, str]
) -> tuple[int, list[Answer], BaseException | None]:
    """The number of predictions, those for pages, and what ended them early; files are complete anyway."""
    options = dict(batch_size=args.batch_size, **reading_options(args))
    recordings = find_recordings(args.recordings, options['img_shape'], args.split)
    number, shown = 0, []
    with ExitStack() as files:
        writes = list(outputs(args, recordings, left_out, files))
        try:
            answers = inferencer.iterate(recordings, on_error='skip', left_out=left_out, **options)
            for answer in files.enter_context(closing(answers)):
                number += 1
                shown += [answer] * (args.view is not None)
                for write in writes:
                    write(answer)
        except BaseException as error:
            return number, shown, error
    return number, shown, None


def main() -> None:
    args = parse_args()
    keep_inputs((args.jsonl, args.json, args.csv), args.recordings)
    if args.view is not None:
        check_pages(args.view)
    inferencer = SkeletonInferencer(
        args.model,
        args.weights,
        args.device,
        stream_weights=args.stream_weights,
        show_progress=sys.stderr.isatty(),
        half=args.half,
    )
    for line in inferencer.describe():
        sys.stderr.write(f'model: {line}\n')
    left_out: dict[str, str] = {}
    number, shown, error = predict(args, inferencer, left_out)
    if shown:
        sys.stderr.write(f'pages: {write_pages(shown, args.view)}\n')
    report_skipped(left_out, number)
    if error is not None:
        sys.stderr.write(f'stopped after {number} predictions\n')
        raise error
    if left_out:
        sys.exit(1)


if __name__ == '__main__':
    with exits_on_signals():
        run_main(main)

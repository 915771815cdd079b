"""Compare networks side by side: parameters, MACs, latency, train step, memory.

python tools/benchmark.py
python tools/benchmark.py DualHead-Net my_config.py --shape 16 2 300 25 --device cuda --dtype bf16
python tools/benchmark.py benchmarking.reference:ReferenceNetwork DualHead-Net
python tools/benchmark.py --suite paper --device cuda --json h100.json
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from benchmarking.candidates import NETWORKS, candidates_of, with_empty_persons
from benchmarking.measure import CLOCKS, PRECISIONS, Comparison, Settings, Shape, compare, peak_memory
from benchmarking.parity import deviations_by_fixture
from benchmarking.picture import draw_costs
from benchmarking.report import read_accuracies, to_dict, to_markdown
from benchmarking.suite import PAPER_SHAPES, run_suite
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.files import check_writable, write_text
from mmdualhead.visualization.figures import check_png

ROOT = Path(__file__).resolve().parents[1]
PLAIN_EQUATIONS = 'benchmarking.reference:ReferenceNetwork'
SHAPE = 'clips, persons, frames and joints (default: 8 2 100 25); may be repeated'
CLOCK = 'wall (default), or processor: for a shared machine, with --threads 1'
HOW = ('threads', 'repeats', 'warmup', 'device', 'precision', 'clock', 'compile')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add(
        'networks',
        nargs='*',
        help=f'of {", ".join(NETWORKS)} (default: all); config files; module:Class',
    )
    add(
        '--suite',
        choices=['paper'],
        help="the full check of a GPU: the authors' numbers, the first network's outputs against float64, "
        'then every form at every precision, next to the unoptimized reference; all of it goes to --json',
    )
    add(
        '--forms',
        nargs='+',
        metavar='NAME',
        help='only these forms of the networks, as named in the table (default: all)',
    )
    add('--cfg-options', nargs='+', action=DictAction, default={}, help='changes of every config')
    add('--shape', nargs=4, type=int, action='append', metavar=('N', 'M', 'T', 'V'), help=SHAPE)
    add('--threads', type=int, default=os.cpu_count(), help='of the CPU (default: all)')
    add('--repeats', type=int, default=7, help='timed rounds (default: 7)')
    add('--warmup', type=int, default=2, help='rounds before the timed ones (default: 2)')
    add('--device', default='cpu', help='cpu (default), cuda, cuda:1, ...')
    add('--dtype', dest='precision', choices=PRECISIONS, default=PRECISIONS[0], help='default: %(default)s')
    add('--clock', choices=CLOCKS, default='wall', help=CLOCK)
    add('--compile', nargs='?', const='default', metavar='MODE', help='a mode of torch.compile')
    add(
        '--empty-persons',
        type=float,
        metavar='SHARE',
        help='also run fused models with this share of empty persons',
    )
    add('--skip-peak', action='store_true', help='do not measure peak memory')
    add('--markdown', type=Path, metavar='FILE', help='write the tables as Markdown')
    add('--json', type=Path, metavar='FILE', help='write all figures and samples as JSON')
    add('--accuracy', type=Path, metavar='FILE', help='JSON with the accuracy of each network, for --picture')
    add('--picture', type=Path, metavar='FILE', help='PNG of accuracy against cost at the first shape')
    args = parser.parse_args()
    if bool(args.accuracy) != bool(args.picture):
        parser.error('--accuracy and --picture go together')
    if args.suite and not args.json:
        parser.error('--suite needs --json')
    return args


def main() -> None:
    args = parse_args()
    if args.picture:
        check_png(args.picture)
    for out in filter(None, (args.json, args.markdown, args.picture)):
        check_writable(out)
    sys.path.insert(0, str(Path.cwd()))
    networks = args.networks or [*NETWORKS, *([PLAIN_EQUATIONS] if args.suite else [])]
    candidates = candidates_of(networks, ROOT / 'configs', args.cfg_options)
    if args.empty_persons is not None:
        candidates = with_empty_persons(candidates, args.empty_persons)
    if args.forms:
        candidates = [one for one in candidates if one.name in args.forms]
    usual = PAPER_SHAPES if args.suite else [(8, 2, 100, 25)]
    shapes = [Shape(*numbers) for numbers in args.shape or usual]
    settings = Settings(shape=shapes[0], **{name: getattr(args, name) for name in HOW})
    if args.suite:
        for report in run_suite(candidates, settings, shapes, parity=deviations_by_fixture, say=log):
            write_json(args.json, report)
        print(f'{args.json}: {report["seconds"]:.0f} s; outputs {"correct" if report["right"] else "WRONG"}')
        sys.exit(not report['right'])
    comparisons: list[Comparison] = []
    for shape in shapes:
        peak = None if args.skip_peak else peak_memory
        comparisons.append(compare(candidates, replace(settings, shape=shape), peak=peak, say=log))
        print(to_markdown(comparisons[-1]), end='\n\n', flush=True)
        if args.json:
            write_json(args.json, [to_dict(one) for one in comparisons])
        if args.markdown:
            write_text(args.markdown, '\n\n'.join(map(to_markdown, comparisons)) + '\n')
    if args.picture:
        draw_costs(comparisons[0], read_accuracies(args.accuracy, comparisons), args.picture)


def log(line: str) -> None:
    print(line, file=sys.stderr)


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    run_main(main)

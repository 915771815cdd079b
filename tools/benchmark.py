"""Compare networks side by side: parameters, MACs, latency, train step, memory.

python tools/benchmark.py
python tools/benchmark.py configs/stgcn_ntu60_xsub_j.py --shape 16 2 300 25 --device cuda --dtype bf16
"""

import argparse
import os
import sys
from pathlib import Path

from mmdualhead.apis.benchmarking import (
    Settings,
    Shape,
    benchmark,
    networks_of,
    networks_of_file,
    read_accuracies,
    to_markdown,
    with_empty_bodies,
    write_json,
)
from mmdualhead.apis.benchmarking.session import CLOCKS, PRECISIONS, WALL
from mmdualhead.visualization.cost_picture import draw_costs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='*', help='config files whose networks take part, too')
    add(
        '--networks', nargs='*', default=[], metavar='NAME', help="the built-in ones to take; 'none' for none"
    )
    add('--shape', nargs=4, type=int, action='append', metavar=('N', 'M', 'T', 'V'), help='may be repeated')
    add('--threads', type=int, default=os.cpu_count(), help='of the CPU')
    add('--repeats', type=int, default=7, help='timed rounds')
    add('--warmup', type=int, default=2, help='rounds before them')
    add('--device', default='cpu', help='cpu, cuda, cuda:1, ...')
    add('--dtype', choices=PRECISIONS, default=PRECISIONS[0])
    add('--clock', choices=CLOCKS, default=WALL, help='processor: for a shared machine, with --threads 1')
    add('--compile', nargs='?', const='default', metavar='MODE', help='a mode of torch.compile')
    add('--empty-bodies', type=float, metavar='FRACTION', help='fused forms also with so many bodies empty')
    add('--markdown', type=Path, metavar='FILE')
    add('--json', type=Path, metavar='FILE')
    add('--accuracy', type=Path, metavar='FILE', help='JSON, network: accuracy; for --picture')
    add('--picture', type=Path, metavar='FILE', help='PNG of accuracy against cost at the first shape')
    args = parser.parse_args()
    if bool(args.accuracy) != bool(args.picture):
        parser.error('--accuracy and --picture go together')
    return args


def main() -> None:
    args = parse_args()
    results = []
    for numbers in args.shape or [(8, 2, 100, 25)]:
        shape = Shape(*numbers)
        settings = Settings(
            shape=shape,
            threads=args.threads,
            repeats=args.repeats,
            warmup=args.warmup,
            device=args.device,
            precision=args.dtype,
            clock=args.clock,
            compile=args.compile,
        )
        contestants = [] if args.networks == ['none'] else networks_of(shape, args.networks)
        contestants += [one for path in args.configs for one in networks_of_file(path)]
        if args.empty_bodies is not None:
            contestants = with_empty_bodies(contestants, args.empty_bodies)
        results.append(benchmark(contestants, settings, say=lambda line: print(line, file=sys.stderr)))
        print(to_markdown(results[-1]), end='\n\n', flush=True)
        if args.json:
            write_json(results, args.json)
        if args.markdown:
            args.markdown.write_text('\n\n'.join(map(to_markdown, results)) + '\n', encoding='utf-8')
    if args.picture:
        draw_costs(results[0], read_accuracies(args.accuracy, results), args.picture)


if __name__ == '__main__':
    try:
        main()
    except (ValueError, FileNotFoundError, ImportError) as error:
        sys.exit(f'error: {error}')

"""Train and test every row of a table of the paper, with seeds; run it again to resume.

python tools/reproduce.py --benchmark quickstart
python tools/reproduce.py --table 4 --benchmark utd_mhad --seeds 0 1 2
"""

import argparse
import signal
from pathlib import Path

from mmengine.config import DictAction

from mmdualhead.utils.command import make_parser, run_main
from reproduction.paper_tables import NUMBERS
from reproduction.runs import Reproduction

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    tables = ', '.join(f'{number} {name}' for number, name in NUMBERS.items())
    parser.add_argument('--table', default='1', help=f'number in the paper, or name: {tables} (default: 1)')
    parser.add_argument(
        '--benchmark', required=True, help='ntu60_xsub, ..., utd_mhad; or quickstart, for the synthetic data'
    )
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='one run of each row for each (default: 0)'
    )
    parser.add_argument(
        '--configs', type=Path, default=CONFIGS, help='folder of the configs (default: the shipped ones)'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/reproduce'),
        help='of all runs (default: %(default)s)',
    )
    parser.add_argument('--gpus', type=int, default=1, help='GPUs per run (default: 1)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, help='changes of every config'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    reproduction = Reproduction(
        table=args.table,
        benchmark=args.benchmark,
        configs=args.configs,
        work_dir=args.work_dir,
        seeds=args.seeds,
        options=args.cfg_options,
        gpus=args.gpus,
    )
    whole = reproduction.reproduce()
    print(f'\n{reproduction.to_markdown()}\n{reproduction.out_file}')
    if not whole:
        raise ValueError(f'failed runs: {", ".join(reproduction.failed)}')


def stop(*_: object) -> None:
    raise SystemExit('stopped; the same command continues from here')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, stop)
    try:
        run_main(main)
    except KeyboardInterrupt:
        stop()

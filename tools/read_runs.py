"""Read the figures of trainings from their work dirs, as configs/results.yml has them, and the best epoch.

The best epoch is that on the test clips, which papers on NW-UCLA report; this project reports the last one.

python tools/read_runs.py work_dirs/ctrgcn_nw_ucla_j work_dirs/ctrgcn_nw_ucla_b
"""

from __future__ import annotations

from pathlib import Path

from mmdualhead.evaluation.readers import add_clip_options, chosen_clips
from mmdualhead.utils.command import make_parser, run_main
from model_zoo.logs import read_run


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('work_dirs', type=Path, nargs='+', metavar='WORK_DIR', help='of trainings')
    add_clip_options(parser)
    args = parser.parse_args()
    clips = chosen_clips(args.ann_file, args.split, args.without_duplicates)
    for work_dir in args.work_dirs:
        figures = ', '.join(f'{name}: {value}' for name, value in read_run(work_dir, clips).items())
        print(f'{work_dir.name}: {{{figures}}}')


if __name__ == '__main__':
    run_main(main)

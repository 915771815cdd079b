"""Write configs/metafile.yml, OpenMMLab's list of configs, and docs/model_zoo.md: costs, results, weights.

python tools/metafile.py
python tools/metafile.py --release release --url https://github.com/OWNER/mmdualhead/releases/download/v1.0.0
"""

from pathlib import Path

from mmdualhead.apis.metafile import write_metafile
from mmdualhead.utils.command import make_parser, run_main

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--recount', action='store_true', help='count all networks again (minutes)')
    parser.add_argument('--release', type=Path, help='a folder of tools/pack.py, whose files are entered')
    parser.add_argument('--url', help='the address of the files of --release, without their names')
    args = parser.parse_args()
    if bool(args.release) != bool(args.url):
        parser.error('--release and --url go together')
    print(f'{write_metafile(ROOT, args.recount, args.release, args.url or "")} configs')


if __name__ == '__main__':
    run_main(main)

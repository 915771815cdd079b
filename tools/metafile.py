"""List all configs, their cost and their measured results in configs/metafile.yml, for OpenMMLab's tools.

python tools/metafile.py
"""

from pathlib import Path

from mmdualhead.apis.metafile import write_metafile
from mmdualhead.utils.command import make_parser, run_main

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = make_parser(__doc__)
    parser.parse_args()
    target = ROOT / 'configs' / 'metafile.yml'
    number = write_metafile(ROOT / 'configs', ROOT / 'docs' / 'results.md', target)
    print(f'{number} configs -> {target}')


if __name__ == '__main__':
    run_main(main)

"""List all configs, their cost and their measured results in configs/metafile.yml, for OpenMMLab's tools.

python tools/metafile.py
"""

import argparse
from pathlib import Path

from mmdualhead.apis.metafile import write_metafile

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    target = ROOT / 'configs' / 'metafile.yml'
    number = write_metafile(ROOT / 'configs', ROOT / 'docs' / 'results.md', target)
    print(f'{number} configs -> {target}')


if __name__ == '__main__':
    main()

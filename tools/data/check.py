"""Check an annotation file before training: python tools/data/check.py FILE [--config CFG]"""

import argparse
import sys

from mmdualhead.datasets.annotations.report import check_file

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('file', help='a pickle or a store')
    parser.add_argument('--config', help='a config whose splits, classes and layout the file has to fit')
    args = parser.parse_args()
    try:
        page, sound = check_file(args.file, args.config)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(page)
    sys.exit(not sound)

"""Check an annotation file before training: python tools/data/check.py FILE [--config CFG]"""

import sys

from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.text import printable_lines


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('file', help='a pickle or a store')
    parser.add_argument('--config', help='a config whose splits, classes and layout the file must match')
    args = parser.parse_args()
    page, sound = check_file(args.file, args.config)
    print(printable_lines(page))
    sys.exit(not sound)


if __name__ == '__main__':
    run_main(main)

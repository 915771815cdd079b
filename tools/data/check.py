"""Check an annotation file before training: python tools/data/check.py FILE [--config CFG]"""

import sys
from pathlib import Path

from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.program import find_config
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.text import printable_lines


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('file', help='a pickle or a store')
    parser.add_argument(
        '--config', help='a config or its name; the file must match its splits, classes and layout'
    )
    args = parser.parse_args()
    config = args.config
    if config is not None and not Path(config).is_file():
        config = find_config(config) or config
    page, sound = check_file(args.file, config)
    print(printable_lines(page))
    sys.exit(not sound)


if __name__ == '__main__':
    run_main(main)

"""Draw all joint layouts into one picture.

python tools/draw_layouts.py docs/layouts.png
"""

import argparse
from pathlib import Path

from mmdualhead.visualization.layout_pictures import draw_layouts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, help='the PNG to write')
    args = parser.parse_args()
    draw_layouts(args.out)


if __name__ == '__main__':
    main()

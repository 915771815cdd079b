"""Draw all joint layouts into one picture.

python tools/draw_layouts.py docs/layouts.png
"""

from pathlib import Path

from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.visualization.layout_pictures import draw_layouts


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('out', type=Path, help='the PNG to write')
    args = parser.parse_args()
    draw_layouts(args.out)


if __name__ == '__main__':
    run_main(main)

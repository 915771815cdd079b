"""Draw all joint layouts into one figure; needs matplotlib.

python tools/draw_layouts.py docs/layouts.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdualhead.skeletons import SKELETONS, Skeleton
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.visualization.figures import BLUE, GREY, RED, new_figure, save_figure

COLUMNS = 5

# Positions of the joints of a standing person who faces the viewer: width to the person's left, and height.
# Heads, hands and feet are enlarged to separate their joints.
MIDDLE = {
    **{'pelvis': 0.95, 'lumbar spine': 1.04, 'spine': 1.14, 'chest': 1.28, 'shoulder center': 1.42},
    **{'neck': 1.53, 'head': 1.64, 'nose': 1.73, 'head top': 1.92},
}
SIDE = {
    **{'clavicle': (0.08, 1.43), 'shoulder': (0.2, 1.4), 'elbow': (0.32, 1.16), 'wrist': (0.42, 0.94)},
    **{'hand': (0.5, 0.84), 'hand tip': (0.56, 0.72), 'thumb': (0.36, 0.8)},
    **{'index': (0.46, 0.75), 'pinky': (0.58, 0.83)},
    **{'hip': (0.11, 0.92), 'knee': (0.13, 0.5), 'ankle': (0.15, 0.14), 'heel': (0.06, 0.02)},
    **{'foot': (0.27, 0.02), 'foot index': (0.28, 0.02), 'big toe': (0.21, -0.02), 'small toe': (0.34, 0.04)},
    **{'eye inner': (0.07, 1.81), 'eye': (0.16, 1.84), 'eye outer': (0.25, 1.81), 'ear': (0.32, 1.72)},
    **{'mouth': (0.09, 1.62)},
}
BELOW = ('hand tip', 'thumb', 'index', 'heel', 'foot', 'foot index', 'big toe', 'small toe', 'mouth')
ABOVE = ('eye inner', 'eye', 'eye outer')


def draw_layouts(path: str | Path) -> None:
    """Draw each layout as a standing person who faces the viewer, with numbered joints.

    Args:
        path: the PNG.

    Raises:
        ImportError: matplotlib is missing.
    """
    rows = -(-len(SKELETONS) // COLUMNS)
    figure = new_figure(3.1 * COLUMNS, 5.6 * rows)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for one, skeleton in zip(axes, SKELETONS.values(), strict=False):
        _draw(one, skeleton)
    for one in axes:
        one.set_axis_off()
    save_figure(figure, path)


def position(skeleton: Skeleton, joint: int) -> tuple[float, float]:
    """The position of a joint in the figure, by its anatomical name.

    Raises:
        KeyError: there is no position for a joint of this name.
    """
    name = skeleton.joints[joint]
    name = skeleton.meaning.get(name, name)
    side, _, part = name.partition(' ')
    if side in ('left', 'right'):
        x, y = SIDE[part]
        return (x if side == 'left' else -x), y
    return 0.0, MIDDLE[name]


def _draw(axes: Any, skeleton: Skeleton) -> None:
    places = [position(skeleton, joint) for joint in range(skeleton.num_joints)]
    for child, parent in skeleton.bones:
        (x0, y0), (x1, y1) = places[child], places[parent]
        axes.plot([x0, x1], [y0, y1], color=GREY, linewidth=1.5, zorder=1)
    for joint, (x, y) in enumerate(places):
        color = BLUE if x > 0 else RED if x < 0 else 'black'
        axes.scatter(x, y, s=14, color=color, zorder=2)
        part = skeleton.joints[joint].partition(' ')[2]
        shift = (0, -10) if part in BELOW else (0, 4) if part in ABOVE else (6 if x >= 0 else -6, 1)
        side = 'center' if not shift[0] else 'left' if x >= 0 else 'right'
        axes.annotate(str(joint), (x, y), shift, textcoords='offset points', ha=side, fontsize=8, color=color)
    kind = '2D' if skeleton.flat else '3D'
    axes.set_title(f'{skeleton.name}\n{skeleton.num_joints} joints, {kind}', fontsize=11)
    axes.set(xlim=(-0.7, 0.7), ylim=(-0.12, 1.98), aspect='equal')


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('out', type=Path, help='the PNG to write')
    draw_layouts(parser.parse_args().out)


if __name__ == '__main__':
    run_main(main)

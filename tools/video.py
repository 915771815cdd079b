"""Recognize actions in a video or before a camera: who does what, and when.

python tools/video.py clip.mp4 --out labeled.mp4
python tools/video.py 0 --json found.json
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmdualhead.apis.estimators import Estimator, Replay, make_estimator
from mmdualhead.apis.frames import Frames
from mmdualhead.apis.inferencer import SkeletonInferencer
from mmdualhead.apis.options import add_joint_options
from mmdualhead.apis.streaming import STREAM_MODEL
from mmdualhead.apis.video import (
    Watched,
    clock,
    draw_film,
    make_recognizer,
    recorded,
    stop_on_signal,
    to_table,
    watch,
    write_csv,
    write_json,
)
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.command import add_import_option, make_parser, run_main
from mmdualhead.utils.files import STDOUT, check_writable, keep_inputs
from mmdualhead.visualization.pages import check_pages
from mmdualhead.visualization.video import Film
from mmdualhead.visualization.video_page import write_video_page

THRESHOLD = 0.4
"""Chosen with the packaged model of streams; see docs/streaming.md."""

INTERRUPTED = 130
"""The exit status where a file was not watched to its end, as shells give it for other programs."""


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('source', metavar='SOURCE', help='a video file, or the number of a camera')
    parser.add_argument(
        '--model', nargs='+', help='a checkpoint or work dir, one per stream (default: a packaged model)'
    )
    out = parser.add_argument_group('output')
    out.add_argument(
        '--out', type=Path, metavar='FILM', help='the video with what was found (.mp4, .webm or .avi)'
    )
    out.add_argument('--json', type=Path, metavar='OUT', help='all that was found as JSON, - to print it')
    out.add_argument('--csv', type=Path, metavar='OUT', help='the segments as CSV, - to print them')
    out.add_argument('--view', type=Path, metavar='DIR', help='write a page with the timeline')
    labels = parser.add_argument_group('labels')
    labels.add_argument(
        '--threshold',
        type=float,
        default=THRESHOLD,
        help=f'the least score of a label (default: {THRESHOLD})',
    )
    labels.add_argument(
        '--window', type=float, default=2.0, help='seconds that a label is made of (default: 2)'
    )
    labels.add_argument('--hop', type=float, default=0.75, help='seconds between two labels (default: 0.75)')
    labels.add_argument(
        '--pair-distance',
        type=float,
        help='also label two persons closer than this, in meters (pixels in 2-D)',
    )
    labels.add_argument(
        '--device', help='of the model, e.g. cpu or cuda:1 (default: the first GPU, or else the CPU)'
    )
    poses = parser.add_argument_group('poses')
    poses.add_argument(
        '--pose-model', type=Path, metavar='FILE', help="MediaPipe's *.task (default: fetched once)"
    )
    poses.add_argument('--max-persons', type=int, help='persons in a frame (default: 2)')
    poses.add_argument(
        '--estimator',
        default='MediaPipePose',
        help='another one, by the name of its class (default: MediaPipePose)',
    )
    poses.add_argument('--poses', metavar='FILE', help='joints that another program found in this video')
    add_joint_options(poses)
    add_import_option(parser)
    return parser.parse_args()


def make_poses(args: argparse.Namespace, frames: Frames) -> Estimator:
    """The estimator, or the joints of a file in its place."""
    if args.poses is None:
        given = dict(model=args.pose_model, max_persons=args.max_persons)
        return make_estimator(
            args.estimator, **{key: value for key, value in given.items() if value is not None}
        )
    replay = Replay.of_file(args.poses, args.layout, frames.img_shape, frames.count, args.unit)
    is_numbered = replay.numbers != range(replay.count)
    if not is_numbered and frames.count not in (None, replay.count):
        sys.stderr.write(f'note: {args.poses} has {replay.count} frames, the video {frames.count}\n')
    return replay


def choose_model(args: argparse.Namespace, estimator: Estimator) -> Any:
    """The model that was asked for, or the packaged one for streams in space, or for joints in images."""
    return args.model or (None if estimator.flat else STREAM_MODEL)


def window_of(args: argparse.Namespace, frames: Frames) -> float:
    """The length of a window, which is no longer than the video."""
    if frames.duration is None or frames.duration > args.window:
        return args.window
    window = max(frames.duration - 1 / frames.frame_rate, 0.1)
    sys.stderr.write(f'note: the video is shorter than a window, which becomes {window:.2f} s\n')
    return window


def with_progress(frames: Any, count: int | None) -> Iterator[tuple[np.ndarray, float]]:
    """The frames, and a bar of those done on a terminal's standard error."""
    columns = (
        TextColumn('frames'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[rate]}'),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task('frames', total=count, rate='')
        for frame in frames:
            yield frame
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f'{speed:.1f} frames/s' if speed else '')


def write_found(args: argparse.Namespace, found: Watched, about: dict[str, Any]) -> None:
    if args.json is not None:
        write_json(found, args.json, **about)
    if args.csv is not None:
        write_csv(found, args.csv)


def write_page(args: argparse.Namespace, found: Watched, about: dict[str, Any]) -> None:
    lines = [f'{key}: {value}' for key, value in about.items()]
    plays = args.out if args.out is not None and args.out.suffix == '.webm' else Path(args.source)
    page = write_video_page(
        found.to_dict(), args.view, Path(args.source).name, lines, plays if plays.is_file() else None
    )
    sys.stderr.write(f'page: {page}\n')


def tell(found: Watched) -> None:
    """What the table does not show, on standard error."""
    for id, sight in found.unlabeled.items():
        seen = f'{clock(sight.begin)} to {clock(sight.end)}, {sight.frames} frames'
        sys.stderr.write(f'note: person {id} has no label ({seen})\n')
    if not found.sights:
        sys.stderr.write('note: no person was found\n')
    spent = found.estimating + found.recognizing
    if spent:
        sys.stderr.write(
            f'{len(found.times)} frames, {len(found.times) / spent:.1f} frames/s; '
            f'poses took {found.estimating / spent:.0%}, labels {found.recognizing / spent:.0%} of the time\n'
        )


def main() -> None:
    args = parse_args()
    with ExitStack() as stack:
        frames = stack.enter_context(closing(Frames(args.source)))
        keep_inputs((args.out, args.json, args.csv), [args.source])
        for path in filter(None, (args.json, args.csv)):
            check_writable(path)
        if args.view is not None:
            check_pages(args.view)
        trial = None
        if args.out is not None:  # fails before the work if it cannot be written; a camera is recorded in it
            trial = stack.enter_context(Film(args.out, frames.img_shape, frames.frame_rate))
        estimator = stack.enter_context(closing(make_poses(args, frames)))
        recognizer = make_recognizer(
            SkeletonInferencer(choose_model(args, estimator), device=args.device),
            estimator,
            window=window_of(args, frames),
            hop=args.hop,
            threshold=args.threshold,
            pair_distance=args.pair_distance,
            img_shape=frames.img_shape,
        )
        models = recognizer.inferencer.describe()
        sys.stderr.writelines(f'model: {line}\n' for line in models)
        images = recorded(frames, trial) if trial is not None and frames.is_live else frames
        with stop_on_signal() as stop:
            found = watch(
                with_progress(images, frames.count),
                estimator,
                recognizer,
                keep_poses=trial is not None,
                stop=stop,
            )
        if STDOUT not in (args.json, args.csv):
            print(to_table(found))
        tell(found)
        about = dict(
            source=args.source,
            img_shape=frames.img_shape,
            poses=args.poses or type(estimator).__name__,
            layout=get_skeleton(estimator.layout).name,
            model=' + '.join(models),
            window=recognizer.frames / recognizer.frame_rate,
            hop=args.hop,
            threshold=args.threshold,
        )
        write_found(args, found, about)  # before the film, which may fail or be interrupted
        if trial is not None:
            write_film(args.out, found, frames, estimator.layout, trial)
        if args.view is not None:
            write_page(args, found, about)
    if found.stopped:
        sys.stderr.write(f'stopped after {clock(found.duration)}\n')
        sys.exit(0 if frames.is_live else INTERRUPTED)


def write_film(path: Path, found: Watched, frames: Frames, layout: Any, trial: Film) -> None:
    """Draw what was found, in a second pass over the file, or over the recording of a camera."""
    again = Frames(trial.finish() if frames.is_live else frames.name)
    with closing(again), Film(path, frames.img_shape, found.frame_rate or frames.frame_rate) as film:
        draw_film(found, again, layout, film)
        film.save()
    sys.stderr.write(f'film: {path}\n')


if __name__ == '__main__':
    run_main(main)

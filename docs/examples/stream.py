"""Label the persons that a tracker sees, frame by frame.

    tracker | python docs/examples/stream.py --threshold 0.5

A line of standard input is a frame: {"time": 12.3, "persons": {"7": [[x, y, z], ...]}}, with the
joints of each person by id. A line of standard output is a segment that began, grew or ended.
"""

import argparse
import contextlib
import json
import sys
from dataclasses import asdict

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.options import add_image_option, add_joint_options
from mmdualhead.apis.streaming import STREAM_MODEL, StreamRecognizer
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.command import run_main
from mmdualhead.utils.reading import parse_json


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', help='default: the packaged model of streams, or of joints in images')
    parser.add_argument('--window', type=float, default=2.0, help='seconds (default: 2)')
    parser.add_argument('--hop', type=float, default=0.2, help='seconds between predictions (default: 0.2)')
    parser.add_argument('--threshold', type=float, default=0.4, help='lowest score of a label (default: 0.4)')
    add_joint_options(parser)
    add_image_option(parser)
    args = parser.parse_args()
    is_flat = args.layout is not None and get_skeleton(args.layout).flat

    recognizer = StreamRecognizer(
        SkeletonInferencer(args.model or (None if is_flat else STREAM_MODEL)),
        window=args.window,
        hop=args.hop,
        threshold=args.threshold,
        layout=args.layout,
        unit=args.unit,
        img_shape=args.img_shape,
    )
    with contextlib.suppress(KeyboardInterrupt):
        for number, line in enumerate(sys.stdin, 1):
            try:
                frame = parse_json(line)
                tell(recognizer.push(frame['persons'], frame['time']))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sys.exit(f'error: line {number}: {type(error).__name__}: {error}')
    tell(recognizer.finish())


def tell(segments):
    for segment in segments:
        print(json.dumps(asdict(segment)), flush=True)


if __name__ == '__main__':
    run_main(main)

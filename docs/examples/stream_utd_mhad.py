"""Measure a stream: all clips of held-out UTD-MHAD subjects, one after the other without pauses.

python docs/examples/stream_utd_mhad.py data/skeleton/utd_mhad.pkl stream.png

A frame is right if the class of its clip is said. Only frames within 0.5 s of a cut may be without a label
without counting. Also prints the delay and the latency, and draws the timeline of the first minute.
"""

import argparse
from time import perf_counter

import numpy as np

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.streaming import STREAM_MODEL, StreamRecognizer, frame_labels
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.skeletons import KINECT_V1
from mmdualhead.visualization.figures import new_figure

RATE, NEAR, SHOWN, CENTER, NONE = 30.0, 0.5, 60.0, KINECT_V1.center, -2

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('annotations')
parser.add_argument('picture')
parser.add_argument('--model', default=STREAM_MODEL, help='default: the packaged model of streams')
parser.add_argument('--subjects', type=int, nargs='+', default=[6, 8])
parser.add_argument('--window', type=float, default=2.0)
parser.add_argument('--hop', type=float, default=0.2)
parser.add_argument('--smoothing', type=float, default=0.7)
parser.add_argument('--threshold', type=float, default=0.4)
parser.add_argument('--bridge', type=int, default=0, help='frames of transition between clips (default: 0)')
parser.add_argument('--clips', type=int, help='of each subject (default: all)')
args = parser.parse_args()

inferencer = SkeletonInferencer(args.model, device='cpu')
clips = list(open_annotations(args.annotations).select('xsub_val'))


def joined(subject):
    """The joints (T, V, C) and the class of each clip of a subject, in random order.

    With a bridge, a clip begins where the previous one ended, after a transition that belongs to none.
    """
    mine = [clip for clip in clips if f'_s{subject}_' in clip['frame_dir']]
    last = None
    for position in np.random.default_rng(0).permutation(len(mine))[: args.clips]:
        joints = mine[position]['keypoint'][0]
        if args.bridge and last is not None:
            joints = joints + (last - joints[0])[CENTER]
            share = np.arange(1, args.bridge + 1)[:, None, None] / (args.bridge + 1)
            yield last + share * (joints[0] - last), NONE
        last = joints[-1]
        yield joints, mine[position]['label']


def run(subject):
    """(T,) labels and true classes of a subject, distances to the next cut, delays by clip, latencies."""
    recognizer = StreamRecognizer(
        inferencer, window=args.window, hop=args.hop, smoothing=args.smoothing, threshold=args.threshold
    )
    segments, truth, cuts, delays, latency = [], [], [0.0], [], []
    for clip, label in joined(subject):
        delay = np.nan
        for joints in clip:
            truth.append(label)
            began = perf_counter()
            changed = recognizer.push({1: joints}, len(truth) / RATE)
            latency.append(1000 * (perf_counter() - began))
            segments += [segment for segment in changed if segment.ended]
            if np.isnan(delay) and any(one.label == label and one.end > cuts[-1] for one in changed):
                delay = len(truth) / RATE - cuts[-1]
        cuts.append(len(truth) / RATE)
        delays += [delay] * (label != NONE)
    times = np.arange(1, len(truth) + 1) / RATE
    labels = frame_labels([*segments, *recognizer.finish()], times)
    apart = np.abs(times[:, None] - cuts).min(1)
    return labels, np.array(truth), apart, delays, latency


results = [run(subject) for subject in args.subjects]
labels, truth, apart, delays, latency = map(np.concatenate, zip(*results, strict=True))
# Frames of a transition between clips belong to none, so that no label is right there or wrong.
labels, truth, apart = (x[truth != NONE] for x in (labels, truth, apart))
labeled, counts, is_said = labels >= 0, apart > NEAR, ~np.isnan(delays)
print(f'subjects {args.subjects}: {len(delays)} clips, {len(truth) / RATE:.0f} s, {vars(args)}')
print(f'right: {np.mean(labels[labeled] == truth[labeled]):.1%} of the frames with a label')
print(f'silent: {np.mean(~labeled[counts]):.1%} of the frames farther than {NEAR} s from a cut')
print(f'silent: {np.mean(~labeled):.1%} of all frames; right: {np.mean(labels == truth):.1%} of all frames')
print(
    f'named correctly: {is_said.sum()} clips, {np.nanmedian(delays):.2f} s after their beginning (median), '
    f'{np.nanmean(delays):.2f} s (mean)'
)
busy = latency[latency > 1]
print(
    f'latency of frames with a prediction: p50 {np.median(busy):.0f} ms, p99 {np.percentile(busy, 99):.0f} ms'
)

figure = new_figure(12, 4.5)
axes = figure.add_subplot()
times = np.arange(1, len(truth) + 1) / RATE
part = times <= SHOWN
axes.plot(times[part], truth[part], 's', markersize=5, color='#c3d1de', label='true class')
right, wrong = labeled & (labels == truth), labeled & (labels != truth)
for chosen, color, name in ((right, '#2a7f3f', 'correct label'), (wrong, '#b3332e', 'incorrect label')):
    axes.plot(times[part & chosen], labels[part & chosen], '.', markersize=4, color=color, label=name)
names = inferencer.classes
used = np.union1d(truth[part], labels[part & labeled])
axes.set_yticks(used, [names[i] for i in used], fontsize=7)
axes.set_xlabel('seconds')
axes.grid(alpha=0.3)
figure.legend(loc='outside upper center', ncols=3, fontsize=8)
figure.savefig(args.picture)

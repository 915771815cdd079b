"""Measure a stream: clips of one held-out UTD-MHAD subject, one after the other.

python docs/examples/stream_utd_mhad.py data/skeleton/utd_mhad.pkl stream.png

The threshold is calibrated on the other test subjects, on windows of the same length. Prints the accuracy per
frame, the delay and the latency of a frame, and draws the timeline.
"""

import argparse
import re
from time import perf_counter

import numpy as np

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.streaming import StreamRecognizer, calibrate, frame_labels
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.evaluation.scores import FUSED, LabeledScores
from mmdualhead.visualization.figures import new_figure

RATE = 30.0
SHOWN = 60.0

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('annotations')
parser.add_argument('picture')
parser.add_argument('--model', help='default: the packaged model')
parser.add_argument('--subject', type=int, default=8)
parser.add_argument('--window', type=float, default=2.0)
parser.add_argument('--hop', type=float, default=0.25)
parser.add_argument('--clips', type=int, default=54)
args = parser.parse_args()

inferencer = SkeletonInferencer(args.model, device='cpu')
clips = list(open_annotations(args.annotations).select('xsub_val'))
subject = [int(re.search(r's(\d)_', clip['frame_dir'])[1]) for clip in clips]
others = [clip for clip, number in zip(clips, subject, strict=True) if number != args.subject]
mine = [clip for clip, number in zip(clips, subject, strict=True) if number == args.subject]
rng = np.random.default_rng(0)


def cut(clip):
    """The middle of a clip, as long as a window."""
    joints = clip['keypoint']
    spare = max(0, joints.shape[1] - round(args.window * RATE))
    return joints[:, spare // 2 : joints.shape[1] - (spare - spare // 2)]


others = [others[i] for i in rng.permutation(len(others))[:160]]
answers = list(inferencer.iterate([cut(clip) for clip in others], batch_size=16, unit='m'))
scores = LabeledScores(
    source='other subjects',
    names=tuple(clip['frame_dir'] for clip in others),
    labels=np.array([clip['label'] for clip in others]),
    heads={FUSED: np.stack([answer.scores[FUSED] for answer in answers])},
)
threshold = calibrate(scores, 0.95)

recognizer = StreamRecognizer(
    inferencer, window=args.window, hop=args.hop, smoothing=0.7, threshold=threshold
)
segments, truth, times, delays, time = [], [], [], [], 0.0
latency, answered = [], []
for position in rng.permutation(len(mine))[: args.clips]:
    clip, start, delay = mine[position], time, None
    for joints in clip['keypoint'][0]:
        time += 1 / RATE
        times.append(time)
        truth.append(clip['label'])
        began = perf_counter()
        changed = recognizer.push({1: joints}, time)
        latency.append(1000 * (perf_counter() - began))
        answered.append(len(times) > recognizer.frames and len(times) % recognizer.hop == 0)
        for segment in changed:
            if segment.ended:
                segments.append(segment)
            elif segment.label == clip['label'] and delay is None:
                delay = time - start
    delays.append(delay)
segments += recognizer.finish()

times, truth = np.array(times), np.array(truth)
labels = frame_labels(segments, times)
labeled, named = labels >= 0, [delay for delay in delays if delay is not None]
print(f'threshold {threshold:.3f}, {len(delays)} clips, {time:.0f} s')
print(
    f'frames: {np.mean(labels == truth):.1%} correct, {np.mean(~labeled):.1%} without a label, '
    f'{np.mean(labels[labeled] == truth[labeled]):.1%} correct of those with a label'
)
print(
    f'recognized before they end: {len(named)} clips, after {np.median(named):.2f} s (median), '
    f'{np.mean(named):.2f} s (mean)'
)
latency, answered = np.array(latency), np.array(answered)
for which, chosen in (('all frames', latency), ('frames with a prediction', latency[answered])):
    middle, most = np.percentile(chosen, [50, 99])
    print(f'latency of {which}: p50 {middle:.2f} ms, p99 {most:.2f} ms')

figure = new_figure(12, 4.5)
axes = figure.add_subplot()
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

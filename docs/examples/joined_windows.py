"""Make the training of the packaged model of streams: windows of joined UTD-MHAD clips.

python docs/examples/joined_windows.py data/skeleton/utd_mhad.pkl OUT
mmdualhead train OUT/config.py --work-dir OUT/work --cfg-options randomness.seed=0

The clips of a subject are joined in random orders: half of them as they are, the others moved to where the
previous clip ended, behind up to 9 frames of transition. A window of 1 to 3 s has the class of the clip at
its middle, or 'nothing' if a cut is within 0.25 s of it. Training starts from the packaged model of clips.
"""

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mmdualhead.apis.streaming import NOTHING
from mmdualhead.apis.trained import PACKAGED
from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.transforms.augment import interpolate
from mmdualhead.engine.checkpoints import Checkpoint
from mmdualhead.program import find_config
from mmdualhead.skeletons import KINECT_V1

RATE, EDGE, LENGTH, SHORTEST, LONGEST, TRANSITION = 30.0, 0.25, 32, 1.0, 3.0, 10
TRAIN = dict(split='xsub_train', subjects=(1, 3, 5, 7), orders=30, each=50)
VAL = dict(split='xsub_val', subjects=(2, 4), orders=4, each=75)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('annotations')
parser.add_argument('out', type=Path)
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
file = open_annotations(args.annotations)
classes = [*file.meta['classes'], NOTHING]
rng = np.random.default_rng(0)


def joined(clips, moved):
    """(T, V, C) joints of all clips in random order, (T,) labels, and the frames of the cuts."""
    joints, labels, cuts = [], [], [0.0]
    for i in rng.permutation(len(clips)):
        new, label = clips[i]['keypoint'][0], clips[i]['label']
        if moved and joints:
            last = joints[-1][-1]
            new = new + (last - new[0])[KINECT_V1.center] * new.any(-1, keepdims=True)
            number = rng.integers(1, TRANSITION)
            share = (np.arange(1, number + 1) / (number + 1))[:, None, None]
            joints.append((last + share * (new[0] - last)).astype(np.float32))
            cuts[-1] += number / 2
            labels += [labels[-1]] * (number // 2) + [label] * (number - number // 2)
        joints.append(new.astype(np.float32))
        labels += [label] * len(new)
        cuts.append(len(labels))
    return np.concatenate(joints), labels, np.array(cuts)


def windows(split, subjects, orders, each):
    """Annotations of windows of random lengths at random places."""
    found, clips = [], list(file.select(split))
    for subject in subjects:
        mine = [clip for clip in clips if f'_s{subject}_' in clip['frame_dir']]
        for _ in range(orders):
            joints, labels, cuts = joined(mine, rng.random() < 0.5)
            for _ in range(each):
                size = round(rng.uniform(SHORTEST, LONGEST) * RATE)
                start = rng.integers(0, len(labels) - size + 1)
                middle = start + size / 2
                is_near = np.abs(cuts - middle).min() < EDGE * RATE
                window = joints[None, start : start + size]
                found.append(
                    dict(
                        frame_dir=f'{split}_{subject}_{len(found)}',
                        label=classes.index(NOTHING) if is_near else int(labels[int(middle)]),
                        total_frames=LENGTH,
                        keypoint=interpolate(window, np.linspace(0, size - 1, LENGTH)).astype(np.float32),
                    )
                )
    return found


parts = dict(train=windows(**TRAIN), val=windows(**VAL))
content = dict(
    meta={**file.meta, 'classes': classes},
    split={name: [clip['frame_dir'] for clip in part] for name, part in parts.items()},
    annotations=[clip for part in parts.values() for clip in part],
)
(args.out / 'windows.pkl').write_bytes(pickle.dumps(content))

# The packaged weights, with the mean of all classes as that of nothing.
weights = {name: value.float() for name, value in Checkpoint.read(PACKAGED).weights.items()}
for name, value in weights.items():
    if name.startswith('cls_head.linear'):
        weights[name] = torch.cat([value, value.mean(0, keepdim=True)])
torch.save(dict(state_dict=weights), args.out / 'init.pth')

config = Config.fromfile(find_config('dualhead_utd_mhad_j'))
normalize, stream, _, form, pack = config.test_pipeline
augment = config.train_dataloader.dataset.pipeline[1:3]
resize = dict(type='TemporalCropResize', ratio=(1.0, 1.0), length=LENGTH)
config.test_pipeline = [normalize, resize, stream, form, pack]
config.model.cls_head.num_classes = len(classes)
for role, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
    steps = [normalize, *augment, *config.test_pipeline[1:]] if role == 'train' else config.test_pipeline
    known = dict(
        ann_file=str(args.out / 'windows.pkl'), num_classes=len(classes), split=split, pipeline=steps
    )
    config[f'{role}_dataloader'].dataset.update(known)
config.optim_wrapper.optimizer.lr = 0.02
config.train_cfg.update(max_epochs=3, val_interval=1)
config.load_from = str(args.out / 'init.pth')
config.dump(args.out / 'config.py')

"""Measure the cost of loading: python tools/data/measure_loading.py WHAT FOLDER

scale       memory and time to the first batch, of pickles and stores with more and more clips
unpickling  the restricted unpickler against mmengine.load, and the checks, on a pickle of about 1 GB
pipeline    clips per second through the complete pipeline, against MMAction2's own
protocols   clips per second of the configs' own pipelines

Files are made in FOLDER and deleted again. Results are Markdown tables; docs/data_scale.md contains a run.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

SIZES = (1_000, 10_000, 100_000, 240_436)  # the last is Kinetics-Skeleton's training set
KINETICS_FRAMES = 12
SPLIT: dict[str, Any] = dict(split='train')
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PROTOCOLS = {
    "`*_ntu60_xsub`, the paper's": 'dualhead_ntu60_xsub_j.py',
    "`*_kinetics`, the paper's": 'dualhead_kinetics_j.py',
    "`*_u100`, MMAction2's": 'dualhead_ntu60_xsub_u100_j.py',
    '`*_u100` on `ntu60_xsub_u100_fast.py`': '_base_/benchmarks/ntu60_xsub_u100_fast.py',
    "`*_2d`, MMAction2's": 'dualhead_ntu60_xsub_2d_j.py',
    '`*_strong`': 'dualhead_ntu60_xsub_strong_j.py',
    '`*_utd_mhad`': 'dualhead_utd_mhad_j.py',
}
STREAM = 'b'


def kinetics_like(number: int) -> Iterator[dict]:
    """Short clips of 18 joints: 2 persons, x, y and score."""
    rng = np.random.default_rng(0)
    pool = rng.random((64, 2, KINETICS_FRAMES, 18, 3), np.float32)
    for index in range(number):
        clip = pool[index % 64]
        fields = dict(keypoint=clip[..., :2].copy(), keypoint_score=clip[..., 2].copy())
        yield dict(frame_dir=f'clip{index:07d}', label=index % 400, total_frames=KINETICS_FRAMES, **fields)


def ntu_like(number: int) -> Iterator[dict]:
    """Clips of 25 joints and 32 to 300 frames (80 on average), 3 in 10 of two persons."""
    rng = np.random.default_rng(0)
    for index in range(number):
        frames = int(np.clip(rng.gamma(4, 20), 32, 300))
        persons = 2 if rng.random() < 0.3 else 1
        keypoint = rng.normal((0, 0, 3), 0.5, (persons, frames, 25, 3)).astype(np.float32)
        yield dict(frame_dir=f'clip{index:07d}', label=index % 60, total_frames=frames, keypoint=keypoint)


def write(path: Path, clips: Iterator[dict], number: int, normalize: bool = False) -> Path:
    """A pickle, or a store if the name ends so."""
    from mmdualhead.datasets import write_store
    from mmdualhead.datasets.converters import write_pickle
    from mmdualhead.datasets.transforms.normalize import normalize_clip
    from mmdualhead.skeletons import NTU

    if normalize:
        clips = ({**clip, 'keypoint': normalize_clip(clip['keypoint'], NTU).keypoint} for clip in clips)
    split = dict(train=[f'clip{index:07d}' for index in range(number)])
    data = dict(split=split, annotations=clips, meta=dict(normalized=normalize))
    (write_store if path.suffix == '.store' else write_pickle)(path, data)
    return path


def table(rows: list[dict]) -> None:
    """Print rows as Markdown."""
    from mmdualhead.utils.tables import markdown_table

    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows], cell=str))


def memory() -> dict[str, float]:
    """MB of this process: its own, of files, and the peak of both."""
    status = dict(line.split(':') for line in Path('/proc/self/status').read_text().splitlines())
    return {key: int(status[key].split()[0]) / 1024 for key in ('RssAnon', 'RssFile', 'VmHWM')}


OURS = [
    dict(type='SkeletonStream', layout='openpose', stream=STREAM),
    dict(type='UniformSampleClips', clip_len=100),
    dict(type='FormatSkeletonInput'),
    dict(type='PackActionInputs'),
]
THEIRS = [
    dict(type='GenSkeFeat', dataset='openpose', feats=[STREAM]),
    dict(type='UniformSampleFrames', clip_len=100),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput'),
    dict(type='PackActionInputs'),
]


def first_batch(path: str, kind: str) -> dict[str, float]:
    """In a separate process: build the data set, take the first batch, then 200 more."""
    from mmaction.registry import DATASETS
    from mmaction.utils import register_all_modules
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    register_all_modules()
    ours = dict(type='SkeletonDataset', pipeline=OURS, num_classes=400)
    theirs = dict(type='PoseDataset', pipeline=THEIRS)
    before, start = memory(), time.process_time()
    dataset = DATASETS.build(dict(theirs if kind == 'PoseDataset' else ours, ann_file=path, **SPLIT))
    built = time.process_time() - start
    batches = iter(DataLoader(dataset, 64, sampler=range(0, len(dataset), 7), collate_fn=pseudo_collate))
    next(batches)
    first = time.process_time() - start
    for _, _ in zip(range(200), batches, strict=False):
        pass
    after = memory()
    grown = {key: after[key] - before[key] for key in after}
    return dict(built=built, first=first, **grown)


def scale(folder: Path) -> None:
    """A table of memory and processor seconds by number of clips and kind of file."""
    rows = []
    for number in SIZES:
        files = [write(folder / f'scale{kind}', kinetics_like(number), number) for kind in ('.pkl', '.store')]
        for path, kind in ((files[0], 'PoseDataset'), (files[0], 'ours'), (files[1], 'ours')):
            command = [sys.executable, __file__, 'scale', str(folder), '--first-batch', str(path), kind]
            of = json.loads(subprocess.check_output(command).splitlines()[-1])
            owner = 'MMAction2' if kind == 'PoseDataset' else 'ours'
            seconds = {'built (s)': of['built'], 'first batch (s)': of['first']}
            megabytes = {'own memory': of['RssAnon'], 'mapped files': of['RssFile'], 'peak': of['VmHWM']}
            rows.append(
                {'clips': f'{number:,}', 'data set': f'{owner}, {path.suffix[1:]}'}
                | {name: f'{value:.2f}' for name, value in seconds.items()}
                | {f'{name} (MB)': f'{value:.0f}' for name, value in megabytes.items()}
            )
            print(*rows[-1].values(), file=sys.stderr, flush=True)
    table(rows)


def seconds_of(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median processor seconds of each, which other processes hardly change, interleaved."""
    sys.path.append(str(Path(__file__).parents[1]))
    from benchmarking.timing import time_interleaved

    measured = time_interleaved(candidates, repeats=5, warmup=1, clock=time.process_time)
    return {name: statistics.median(samples) for name, samples in measured.items()}


def epoch(dataset: object) -> list:
    """The batches of a data set, loaded in this process."""
    import torch
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    np.random.seed(0)
    return [torch.stack(batch['inputs']) for batch in DataLoader(dataset, 64, collate_fn=pseudo_collate)]


def unpickling(folder: Path) -> None:
    """A table of processor seconds for reading, checking and packing about 1 GB."""
    import mmengine
    from mmaction.datasets import PoseDataset

    from mmdualhead.datasets import SkeletonDataset, load_annotations

    path = write(folder / 'gigabyte.pkl', ntu_like(32_000), 32_000)
    build: dict[str, Any] = dict(
        ann_file=str(path), pipeline=[dict(type='SkeletonStream', stream=STREAM)], **SPLIT
    )
    ways: dict[str, Callable[[], object]] = {
        'mmengine.load': lambda: mmengine.load(path),
        'load_annotations': lambda: load_annotations(path),
        "MMAction2's data set": lambda: PoseDataset(str(path), [], **SPLIT),
        'our data set without checks': lambda: SkeletonDataset(check=False, **build),
        'our data set': lambda: SkeletonDataset(num_classes=60, **build),
    }
    print(f'{path.stat().st_size / 1e9:.2f} GB, 32,000 clips\n')
    table([{'what': name, 'seconds': f'{seconds:.2f}'} for name, seconds in seconds_of(ways).items()])


def pipelines(length: str) -> dict[str, list[dict]]:
    """MMAction2's steps and ours, for a protocol."""
    theirs: list[dict] = [
        dict(type='PreNormalize3D'),
        dict(type='GenSkeFeat', dataset='nturgb+d', feats=[STREAM]),
    ]
    ours: list[dict] = [dict(type='NormalizeSkeleton3D'), dict(type='SkeletonStream', stream=STREAM)]
    if length == 'sampled 100':
        theirs += [dict(type='UniformSampleFrames', clip_len=100)]
        ours += [dict(type='UniformSampleClips', clip_len=100)]
    else:
        theirs.insert(1, dict(type='PadTo', length=300))
        ours.insert(1, dict(type='ReplayPad', length=300))
    theirs += [dict(type='PoseDecode'), dict(type='FormatGCNInput'), dict(type='PackActionInputs')]
    ours += [dict(type='FormatSkeletonInput'), dict(type='PackActionInputs')]
    return {'MMAction2': theirs, 'ours': ours}


def pipeline(folder: Path) -> None:
    """A table of clips per second by protocol and kind of file."""
    import torch
    from mmaction.datasets import PoseDataset
    from mmaction.utils import register_all_modules

    from mmdualhead.datasets import SkeletonDataset

    register_all_modules()
    torch.set_num_threads(1)
    rows, number = [], 512
    raw = write(folder / 'raw.pkl', ntu_like(number), number)
    store = write(folder / 'raw.store', ntu_like(number), number)
    ready = write(folder / 'ready.store', ntu_like(number), number, normalize=True)
    for protocol in ('sampled 100', 'replayed to 300'):
        steps = pipelines(protocol)
        make = partial(SkeletonDataset, pipeline=steps['ours'], **SPLIT)
        sets = {
            'MMAction2, pickle': PoseDataset(str(raw), steps['MMAction2'], **SPLIT),
            'ours, pickle': make(ann_file=str(raw)),
            'ours, store': make(ann_file=str(store)),
            'ours, normalized store': make(ann_file=str(ready)),
        }
        expected = epoch(sets['MMAction2, pickle'])
        for name in ('ours, pickle', 'ours, store'):
            assert all(map(torch.equal, epoch(sets[name]), expected)), f'{name} differs from MMAction2'
        of = seconds_of({name: partial(epoch, data) for name, data in sets.items()})
        for name, seconds in of.items():
            ratio = of['MMAction2, pickle'] / seconds
            row = {'protocol': protocol, 'data set': name, 'clips/s': f'{number / seconds:,.0f}'}
            rows.append(row | {'ms/clip': f'{1e3 * seconds / number:.2f}', 'ratio': f'{ratio:.1f}'})
    table(rows)


def like(config: Any, number: int) -> Iterator[dict]:
    """Clips in the form that a config's data have: layout, persons, lengths and scores of its data set."""
    kind = Path(config.test_dataloader.dataset.ann_file).stem
    rng = np.random.default_rng(0)
    for clip in ntu_like(number):
        keypoint, clip['label'] = clip['keypoint'], 0
        if kind == 'utd_mhad':
            clip['keypoint'] = keypoint[:1, :, :20]
        elif kind == 'kinetics_skeleton':
            clip |= dict(keypoint=rng.random((2, 300, 18, 3), np.float32), total_frames=300)
        elif kind.endswith('2d'):
            score = rng.random((*keypoint.shape[:2], 17)).astype(np.float16)
            pixels = (500 + 200 * keypoint[:, :, :17, :2]).astype(np.float16)
            clip |= dict(keypoint=pixels, keypoint_score=score, img_shape=(1080, 1920))
        yield clip


def protocols(folder: Path) -> None:
    """A table of clips per second of the training and the testing pipeline of each protocol."""
    import torch
    from mmaction.registry import DATASETS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmdualhead.datasets.pipelines import with_stream

    torch.set_num_threads(1)
    init_default_scope('mmaction')
    rows, number = [], 256
    for name, path in PROTOCOLS.items():
        config = Config.fromfile(CONFIGS / path)
        changes: dict[str, Any] = dict(
            zip(('train', 'val', 'test'), with_stream(config, STREAM), strict=False)
        )
        file = write(folder / 'protocol.pkl', like(config, number), number)
        sets = {}
        for role in ('train', 'test'):
            dataset = config[f'{role}_dataloader'].dataset | changes[role]['dataset']
            sets[role] = DATASETS.build({**dataset, 'ann_file': str(file), **SPLIT})
        of = seconds_of({role: partial(epoch, data) for role, data in sets.items()})
        rates = {f'{role}, clips/s': f'{number / seconds:,.0f}' for role, seconds in of.items()}
        rows.append({'configs': name, 'data set': config.train_dataloader.dataset.type, **rates})
    table(rows)


if __name__ == '__main__':
    raw_text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw_text)
    parser.add_argument('what', choices=('scale', 'unpickling', 'pipeline', 'protocols'))
    parser.add_argument('folder', type=Path)
    parser.add_argument('--first-batch', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    import mmdualhead  # noqa: F401  (registers the steps that configs name)

    logging.disable(logging.WARNING)
    if args.first_batch:
        print(json.dumps(first_batch(*args.first_batch)))
    else:
        args.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=args.folder) as folder:
            globals()[args.what](Path(folder))

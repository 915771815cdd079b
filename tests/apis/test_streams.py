"""Each stream of several gets what it gets alone, and what a test of its config gets; for each benchmark."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from mmengine.runner import Runner

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.occlusion import occlude
from mmdualhead.evaluation.scores import Scores, load_scores
from tests.apis.trained import CONFIGS, save_trained, shortened
from tests.test_inference import make_clips

STREAMS = ('j', 'bm')
FAMILIES = (
    'dualhead_ntu60_xsub',
    'dualhead_ntu60_xsub_2d',
    'dualhead_ntu60_xsub_u100',
    'dualhead_ntu60_xsub_strong',
    'dualhead_kinetics',
    'dualhead_utd_mhad',
    'dualhead_nw_ucla',
    'quickstart',
)


def scores_of_a_test(path: str, config, checkpoint) -> Scores:
    """What ``mim test`` dumps."""
    config.merge_from_dict(
        dict(
            work_dir=f'{path}_run',
            load_from=str(checkpoint),
            test_dataloader=dict(num_workers=0, persistent_workers=False, batch_size=2),
            test_evaluator=[dict(type='DumpScores', out_file=f'{path}.npz')],
        )
    )
    Runner.from_cfg(config).test()
    return load_scores(f'{path}.npz')


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
    """The configs of two streams, their checkpoints, and a few clips in a file."""
    configs = [shortened(f'{request.param}_{stream}') for stream in STREAMS]
    paths = [
        save_trained(tmp_path / f'{stream}.pth', config, seed, passes=2)
        for seed, (stream, config) in enumerate(zip(STREAMS, configs, strict=True))
    ]
    model = SkeletonInferencer(paths[0], device='cpu').models[0]
    clips = make_clips(model.skeleton, model.num_person)
    for clip, frames in zip(clips, (9, 23, 38), strict=True):
        cut = {key: clip[key][:, :frames] for key in ('keypoint', 'keypoint_score') if key in clip}
        clip |= cut | dict(total_frames=frames)
    file, split = tmp_path / 'clips.pkl', configs[0].test_dataloader.dataset.split
    names = [clip['frame_dir'] for clip in clips]
    file.write_bytes(pickle.dumps(dict(split={split: names}, annotations=clips)))
    for config in configs:
        config.test_dataloader.dataset.ann_file = str(file)
    return configs, paths, clips, file


@pytest.mark.fault(
    'several 2-D streams, whose normalization works in place',
    'each but the first gets joints that were normalized before',
    'each gets what it gets alone',
)
def test_a_stream_among_others_is_the_stream_alone_and_a_test(family, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    configs, paths, clips, file = family
    fused = SkeletonInferencer(paths, device='cpu')
    given = copy.deepcopy(clips)
    from_file, from_memory = (fused(inputs)['predictions'] for inputs in (str(file), given))
    for config, path, stream in zip(configs, paths, STREAMS, strict=True):
        tested = scores_of_a_test(str(tmp_path / stream), config, path)
        alone = SkeletonInferencer(path, device='cpu')(str(file))['predictions']
        assert np.ptp(tested.fused, axis=0).max() > 0.001, 'the clips should be told apart'
        for head, expected in tested.heads.items():
            for answers in (from_file, from_memory):
                found = [answer.streams[stream][head] for answer in answers]
                np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
            np.testing.assert_allclose([a.scores[head] for a in alone], expected, atol=1e-6, rtol=0)
    for clip, unchanged, answer in zip(clips, given, from_memory, strict=True):
        np.testing.assert_array_equal(unchanged['keypoint'], clip['keypoint'])
        np.testing.assert_array_equal(answer.keypoint[..., : clip['keypoint'].shape[-1]], clip['keypoint'])


def test_no_pipeline_of_a_benchmark_is_left_out():
    def pipeline(name):
        return [dict(step) for step in shortened(f'{name}_j').test_pipeline]

    known = [pipeline(name) for name in FAMILIES]
    for path in [CONFIGS / 'quickstart_j.py', *CONFIGS.glob('dualhead_*_j.py')]:
        if path.stem == 'dualhead_nw_ucla_field_j':  # a recipe of one stream
            continue
        assert pipeline(path.stem.removesuffix('_j')) in known, path.stem


def test_occlusion_starts_from_the_joints_as_read(tmp_path):
    path = save_trained(tmp_path / 'x.pth', shortened('dualhead_ntu60_xsub_2d_j'))
    clip = make_clips(SkeletonInferencer(path, device='cpu').models[0].skeleton, 1)[0]
    before = clip['keypoint'].copy()
    inferencer = SkeletonInferencer(path, device='cpu')
    found = occlude(inferencer, clip, span=20)
    np.testing.assert_array_equal(clip['keypoint'], before)
    np.testing.assert_array_equal(found.answer.keypoint[..., :2], before)
    (whole,) = inferencer(clip)['predictions']
    np.testing.assert_allclose(found.answer.scores['fused'], whole.scores['fused'], atol=1e-3)

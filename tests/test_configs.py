"""Every config says what its name says, and builds."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm
from yapf.yapflib.yapf_api import FormatCode

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.pipelines import with_stream
from mmdualhead.engine.checks import check_config
from mmdualhead.network_input import datasets_of
from mmdualhead.skeletons import KINECT_V1, Skeleton, get_skeleton
from tests.datasets.clips import make_clip, save

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted([*ROOT.glob('*.py'), *ROOT.glob('ablations/*.py')])

BENCHMARKS = {
    # benchmark in the name: classes, annotation file, splits
    'ntu60_xsub': (60, 'ntu60_3d.pkl', 'xsub'),
    'ntu60_xview': (60, 'ntu60_3d.pkl', 'xview'),
    'ntu120_xsub': (120, 'ntu120_3d.pkl', 'xsub'),
    'ntu120_xset': (120, 'ntu120_3d.pkl', 'xset'),
    'ntu60_xsub_2d': (60, 'ntu60_2d.pkl', 'xsub'),
    'ntu120_xsub_2d': (120, 'ntu120_2d.pkl', 'xsub'),
    'kinetics': (400, 'kinetics_skeleton.pkl', ''),
    'utd_mhad': (27, 'utd_mhad.pkl', 'xsub'),
    'utd_mhad_2d': (27, 'utd_mhad.pkl', 'xsub'),
    'msr_action3d': (20, 'msr_action3d.pkl', 'xsub'),
    'nw_ucla': (10, 'nw_ucla.pkl', 'xview'),
    'nw_ucla_field': (10, 'nw_ucla.pkl', 'xview'),
    'quickstart': (12, 'synthetic.pkl', 'xsub'),
}
MODELS_BY_NAME = {
    'dualhead': ('DualHeadRecognizer', 'STGCBackbone'),
    'msg3d': ('RecognizerGCN', 'STGCBackbone'),
    'ctrgcn': ('RecognizerGCN', 'STGCBackbone'),
    'stgcn': ('RecognizerGCN', 'STGCN'),
    'stgcnpp': ('RecognizerGCN', 'STGCN'),
    'quickstart': ('DualHeadRecognizer', 'STGCBackbone'),
}
NETWORKS = (
    *(
        f'{model}_{data}_j'
        for model in ('dualhead', 'msg3d', 'ctrgcn', 'stgcn')
        for data in ('ntu60_xsub', 'utd_mhad')
    ),
    'stgcnpp_utd_mhad_j',
    'dualhead_utd_mhad_2d_j+b+jm',
    *(f'{model}quickstart_j' for model in ('', 'msg3d_', 'stgcn_')),
    *(f'ablations/{path.stem}' for path in ROOT.glob('ablations/*.py')),
)
STREAMS = ('j', 'b', 'jm', 'bm')
FIRST = ('j', 'j+b+jm')
"""The streams of configs that others derive from, or of the only one."""
MMACTION2 = Path(mmaction.__path__[0]) / '.mim/configs/skeleton/stgcn'
NAMES_IN_MMACTION2 = ('joint', 'bone', 'joint-motion', 'bone-motion')
PARAMETERS = {
    'dualhead_ntu60_xsub_j': 3_015_253,
    'dualhead_ntu120_xsub_j': 3_049_933,
    'dualhead_kinetics_j': 3_134_460,
    'msg3d_ntu60_xsub_j': 3_194_595,
    'ctrgcn_ntu60_xsub_j': 1_446_672,
    'dualhead_ntu60_xsub_j_fine-full': 4_874_197,
    'dualhead_ntu60_xsub_j_fine-quarter': 2_543_701,
    'dualhead_ntu60_xsub_j_coarse-no-g3d': 2_392_201,
    'dualhead_ntu60_xsub_j_coarse-two-g3d': 3_942_625,
}


def stream_of(path: Path) -> str:
    """The part of the name behind the benchmark and protocol, before an ablation's."""
    return next(part for part in reversed(path.stem.split('_')) if part in (*STREAMS, *FIRST))


@pytest.fixture(
    scope='module',
    params=[path for path in CONFIGS if stream_of(path) in FIRST],
    ids=lambda path: path.stem,
)
def path(request) -> Path:
    """Of joints; the configs of the other streams differ in the stream alone."""
    return request.param


@pytest.fixture(scope='module')
def config(path) -> Config:
    return read(path)


@cache
def read(path: Path) -> Config:
    return Config.fromfile(path)


def test_nothing_in_it_is_misspelt(config):
    assert not list(check_config(config._cfg_dict))


def benchmark_of(path: Path) -> str:
    return max((name for name in BENCHMARKS if name in path.stem), key=len)


def datasets(config: Config) -> dict[str, dict]:
    """The innermost ones."""
    return {role: datasets_of(config, f'{role}_dataloader')[0] for role in ('train', 'val', 'test')}


def step_of(pipeline: list[dict], *types: str) -> dict:
    (step,) = (step for step in pipeline if step['type'] in types)
    return step


def said_by(pipeline: list[dict]) -> tuple[str, Skeleton]:
    """The stream and the layout that a pipeline's step says."""
    step = step_of(pipeline, 'SkeletonStream', 'GenSkeFeat')
    if step['type'] == 'GenSkeFeat':
        return '+'.join(step['feats']), get_skeleton(step['dataset'])
    return step['stream'], get_skeleton(step['layout'])


def layout_of(config: Config) -> str:
    model = config.model
    graph = model.get('graph_cfg') or model.backbone.graph_cfg
    return graph['layout']


def test_name_says_the_model(path, config):
    recognizer, backbone = MODELS_BY_NAME[path.stem.split('_')[0]]
    assert config.model.type == recognizer
    assert config.model.backbone.type == backbone


def test_name_says_stream_split_classes_and_file(path, config):
    classes, file, protocol = BENCHMARKS[benchmark_of(path)]
    train, val, test = datasets(config).values()
    prefix = f'{protocol}_' if protocol else ''
    assert (train.split, val.split, test.split) == (f'{prefix}train', f'{prefix}val', f'{prefix}val')
    for dataset in (train, val, test):
        assert said_by(dataset.pipeline)[0] == stream_of(path)
        assert dataset.get('num_classes', classes) == config.model.cls_head.num_classes == classes
        assert Path(dataset.ann_file).name == file
        if dataset.type == 'SkeletonDataset':
            assert file in dataset.ann_source or 'http' in dataset.ann_source
    assert val.test_mode
    assert test.test_mode
    assert not train.get('test_mode')


def test_persons_and_joints_agree_between_model_and_data(config):
    persons = config.model.backbone.get('num_person', 2)
    layout = layout_of(config)
    joints = layout['num_node'] if isinstance(layout, dict) else get_skeleton(layout).num_joints
    for dataset in datasets(config).values():
        formatted = step_of(dataset.pipeline, 'FormatSkeletonInput', 'FormatGCNInput')
        assert formatted['num_person'] == persons
        assert said_by(dataset.pipeline)[1].num_joints == joints


def test_the_pipeline_of_inference_is_that_of_testing(config):
    steps = config.test_dataloader.dataset.pipeline
    camera = [step for step in steps[:1] if step['type'] == 'VirtualCamera']  # which users have
    assert config.test_pipeline == steps[len(camera) :]


def test_the_networks_of_a_benchmark_are_tested_on_the_same_input(path, config):
    ours = read(ours_on_the_benchmark_of(path))
    assert config.test_pipeline == ours.test_pipeline
    assert config.test_dataloader.dataset == ours.test_dataloader.dataset
    persons, expected = (one.model.backbone.get('num_person', 2) for one in (config, ours))
    assert persons == expected


def ours_on_the_benchmark_of(path: Path) -> Path:
    """DualHead-Net's config, with the paper's parts."""
    if path.parent.name == 'ablations':
        return ROOT / f'{path.stem.rpartition("_")[0]}.py'
    benchmark = path.stem[path.stem.index(benchmark_of(path)) :]
    return ROOT / (f'{benchmark}.py' if benchmark.startswith('quickstart') else f'dualhead_{benchmark}.py')


def test_clips_are_named_to_hooks_and_metrics(config):
    for dataset in datasets(config).values():
        assert 'frame_dir' in dataset.pipeline[-1]['meta_keys']


def test_learning_rate_scales_from_the_batch_it_was_set_for(config):
    assert config.auto_scale_lr.base_batch_size == config.train_dataloader.batch_size


def test_dumped_and_read_again_it_is_the_same(path, config, tmp_path, monkeypatch):
    if path.stem in NETWORKS:
        monkeypatch.setattr('mmengine.config.config.FormatCode', FormatCode)
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


def test_the_model_builds(path, config):
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(config.model)
    if path.stem in PARAMETERS:
        assert sum(p.numel() for p in model.parameters()) == PARAMETERS[path.stem]


@pytest.mark.parametrize('name', NETWORKS)
def test_every_parameter_learns_and_every_norm_can_be_synchronized(name):
    """What training in several processes needs, without ``find_unused_parameters``."""
    config = Config.fromfile(ROOT / f'{name}.py')
    layout = layout_of(config)
    joints = layout['num_node'] if isinstance(layout, dict) else get_skeleton(layout).num_joints
    backbone = config.model.backbone
    clip = torch.randn(1, 1, backbone.get('num_person', 2), 5, joints, backbone.get('in_channels', 3))
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(config.model)
    losses = model(clip, [ActionDataSample().set_gt_label(0)], mode='loss')
    model.parse_losses(losses)[0].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []

    count = sum(isinstance(module, _BatchNorm) for module in model.modules())
    converted = convert_sync_batchnorm(model, 'torch').modules()
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in converted) == count > 0


def test_networks_are_of_all_families():
    assert {Path(name).stem.split('_')[0] for name in NETWORKS} == MODELS_BY_NAME.keys()


@pytest.mark.parametrize(
    'path',
    [path for path in CONFIGS if stream_of(path) not in FIRST],
    ids=lambda path: path.stem,
    scope='function',
)
def test_only_the_stream_differs_between_streams(path):
    """So all that holds for the config of joints holds for the others."""
    joint = copy.deepcopy(read(path.with_name(path.name.replace(f'_{stream_of(path)}', '_j'))))
    feats = [stream_of(path)]
    for pipeline in (joint.test_pipeline, *(dataset.pipeline for dataset in datasets(joint).values())):
        step = step_of(pipeline, 'SkeletonStream', 'GenSkeFeat')
        step |= dict(feats=feats) if step['type'] == 'GenSkeFeat' else dict(stream=feats[0])
    assert joint.to_dict() == Config.fromfile(path).to_dict()


@pytest.mark.parametrize('benchmark', ['ntu60_xsub', 'ntu60_xsub_2d', 'kinetics', 'utd_mhad'])
def test_baselines_differ_in_the_model_alone(benchmark):
    ours, *baselines = (
        Config.fromfile(path)
        for model in ('dualhead', 'msg3d', 'ctrgcn', 'stgcn')
        if (path := ROOT / f'{model}_{benchmark}_j.py').exists()
    )
    names = {'model', 'kinect_v1'}
    for baseline in baselines:
        keys = (ours.keys() | baseline.keys()) - names
        assert {key: ours.get(key) for key in keys} == {key: baseline.get(key) for key in keys}


@pytest.mark.skipif(not MMACTION2.exists(), reason='MMAction2 was installed without its configs')
@pytest.mark.parametrize(('stream', 'name'), list(zip(STREAMS, NAMES_IN_MMACTION2, strict=True)))
@pytest.mark.parametrize(('protocol', 'kind'), [('u100', '3d'), ('2d', '2d')])
def test_the_u100_and_2d_configs_are_mmaction2s(protocol, kind, stream, name):
    ours = Config.fromfile(ROOT / f'stgcn_ntu60_xsub_{protocol}_{stream}.py')
    theirs = Config.fromfile(MMACTION2 / f'stgcn_8xb16-{name}-u100-80e_ntu60-xsub-keypoint-{kind}.py')
    assert ours.model == theirs.model
    assert ours.optim_wrapper == theirs.optim_wrapper
    assert ours.auto_scale_lr == theirs.auto_scale_lr
    assert theirs.param_scheduler[0].pop('T_max') == theirs.train_cfg.max_epochs
    assert ours.param_scheduler == theirs.param_scheduler
    repeated = theirs.train_dataloader.dataset
    assert ours.train_dataloader.batch_size == theirs.auto_scale_lr.base_batch_size
    assert ours.train_cfg.max_epochs == repeated.times * theirs.train_cfg.max_epochs
    theirs.train_dataloader.dataset = repeated.dataset
    for role, dataset in datasets(ours).items():
        assert dataset.pipeline[-1].pop('meta_keys') == ('frame_dir',)
        same = {key: dataset[key] for key in datasets(theirs)[role]}
        assert same | dict(type='PoseDataset') == datasets(theirs)[role]
        assert same['type'] == ('PoseDataset' if protocol == 'u100' else 'SkeletonDataset')
        assert ours[f'{role}_dataloader'].sampler == theirs[f'{role}_dataloader'].sampler


@pytest.mark.parametrize('stream', STREAMS)
@pytest.mark.parametrize('role', ['train', 'val', 'test'])
def test_the_fast_form_of_u100_makes_the_same_batches(role, stream, tmp_path):
    literal = Config.fromfile(ROOT / '_base_/benchmarks/ntu60_xsub_u100.py')
    fast = Config.fromfile(ROOT / '_base_/benchmarks/ntu60_xsub_u100_fast.py')
    clips = [make_clip(1 + i % 2, 30 + 40 * i, seed=i) for i in range(7)]
    for clip in clips[1::2]:
        clip['keypoint'][1, 8:20] = 0
    batches = []
    for config in (literal, fast):
        dataset = with_stream(config, stream)[('train', 'val', 'test').index(role)]['dataset']
        dataset = {**config[f'{role}_dataloader'].dataset, **dataset}
        names = [clip['frame_dir'] for clip in clips]
        dataset['ann_file'] = save(tmp_path, dict(split={dataset['split']: names}, annotations=clips))
        with DefaultScope.overwrite_default_scope('mmaction'):
            built = DATASETS.build(dataset)
        np.random.seed(5)
        batches.append([built[index]['inputs'] for index in range(len(clips))])
    assert len(batches[0]) == len(clips)
    for slow, quick in zip(*batches, strict=True):
        torch.testing.assert_close(quick, slow, rtol=0, atol=0)


def test_fine_tuning_as_documented_starts_from_a_checkpoint_of_other_classes(tmp_path):
    page = (ROOT.parent / 'docs' / 'train.md').read_text()
    (text,) = re.findall(r'^## Fine-tune.*?```python\n(.*?)```', page, re.M | re.S)
    (tmp_path / 'configs').symlink_to(ROOT)
    (tmp_path / 'mine.py').write_text(text.replace('dualhead_ntu60_xsub_j.py', 'quickstart_j.py'))
    config = Config.fromfile(tmp_path / 'mine.py')
    data = synthetic.generate(subjects=2, repetitions=1)
    clips = [clip for clip in data['annotations'] if clip['label'] < 5]
    names = [clip['frame_dir'] for clip in clips]
    path = save(tmp_path, dict(split=dict(train=names[::2], val=names[1::2]), annotations=clips))
    with DefaultScope.overwrite_default_scope('mmaction'):
        trained = MODELS.build(Config.fromfile(ROOT / 'quickstart_j.py').model)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / 'trained.pth')
    config.merge_from_dict(
        {
            'load_from': str(tmp_path / 'trained.pth'),
            'work_dir': str(tmp_path / 'run'),
            'train_cfg.max_epochs': 1,
            'train_dataloader.dataset.ann_file': path,
            'val_dataloader.dataset.ann_file': path,
            'optim_wrapper.optimizer.lr': 0.0,
        }
    )
    runner = Runner.from_cfg(config)
    runner.train()
    before, after = dict(trained.named_parameters()), dict(runner.model.named_parameters())
    kept = {key for key in before if torch.equal(before[key], after[key])}
    assert {key.split('.')[0] for key in before.keys() - kept} == {'cls_head'}
    assert config.test_dataloader.dataset.num_classes == config.model.cls_head.num_classes == 5


def test_without_its_data_a_run_ends_with_one_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / 'dualhead_ntu60_xsub_j.py')
    with DefaultScope.overwrite_default_scope('mmaction'), pytest.raises(FileNotFoundError) as error:
        DATASETS.build(config.train_dataloader.dataset)
    for part in ('data/skeleton/ntu60_3d.pkl', 'https://', 'mmdualhead data ntu '):
        assert part in str(error.value)


def test_the_first_kinect_in_mmaction2s_words_is_our_layout():
    layout = layout_of(Config.fromfile(ROOT / 'stgcn_utd_mhad_j.py'))
    assert layout['num_node'] == KINECT_V1.num_joints
    assert {tuple(edge) for edge in layout['inward']} == set(KINECT_V1.bones)
    assert KINECT_V1.parents[layout['center']] == layout['center']


def test_a_leaf_is_a_few_lines():
    lengths = {path.name: len(path.read_text().splitlines()) for path in CONFIGS}
    assert {name: n for name, n in lengths.items() if n > 8} == {}


def test_all_that_the_paper_compares_is_there():
    names = {path.stem for path in CONFIGS}
    three_d = ('ntu60_xsub', 'ntu60_xview', 'ntu120_xsub', 'ntu120_xset', 'kinetics')
    for benchmark in (*three_d, 'ntu60_xsub_2d', 'ntu120_xsub_2d'):
        assert {f'dualhead_{benchmark}_{stream}' for stream in STREAMS} <= names
        assert {f'{model}_{benchmark}_j' for model in ('stgcn', 'msg3d')} <= names
    for model in ('dualhead', 'stgcn', 'msg3d'):
        assert {f'{model}_ntu60_xsub_{stream}' for stream in STREAMS} <= names
    protocols = ('ntu60_xsub_u100', 'ntu60_xsub_2d', 'utd_mhad', 'nw_ucla', 'quickstart')
    for benchmark in (*three_d[:-1], *protocols):
        assert {f'ctrgcn_{benchmark}_{stream}' for stream in STREAMS} <= names

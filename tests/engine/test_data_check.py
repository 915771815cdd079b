"""Data that contradict the network, each other or the checkpoint, in the runner of a shipped config."""

import copy
import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.datasets import PoseDataset
from mmaction.models import STGCN
from mmaction.registry import RUNNERS
from mmengine.config import Config

from mmdualhead.datasets import SkeletonDataset, write_store
from mmdualhead.datasets.annotations.files import clip_facts
from mmdualhead.engine.data_check import (
    REMEMBERED,
    LoaderData,
    _check_classes,
    _input_shape,
    check_against_training,
    describe_training,
    undisturbed_random,
)
from tests.datasets.clips import make_clip, make_data, save

QUICKSTART = Path(__file__).parents[2] / 'configs' / 'quickstart_j.py'


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Runs the quickstart on an annotation file; gives the checkpoint and what was warned of."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, True))  # takes a second
    count = iter(range(100))

    def run(data, change=None, checkpoint=None, store=False):
        number = next(count)
        ann_file = save(tmp_path, data)
        if store:
            ann_file = str(tmp_path / f'data-{number}.store')
            write_store(ann_file, data)
        config = copy.deepcopy(QUICKSTART_CONFIG)
        config.work_dir, config.experiment_name = str(tmp_path / str(number)), f'{tmp_path.name}-{number}'
        for phase, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
            config[f'{phase}_dataloader'].dataset.update(ann_file=ann_file, split=split)
        if change:
            change(config)
        runner = RUNNERS.build(config)
        runner.logger.addHandler(caplog.handler)
        caplog.handler.setLevel(logging.WARNING)
        caplog.clear()
        if checkpoint:
            runner._load_from = str(checkpoint)
            runner.test()
        else:
            runner.train()
        return Path(config.work_dir, 'epoch_1.pth'), caplog.text

    return run


QUICKSTART_CONFIG = Config.fromfile(QUICKSTART)
QUICKSTART_CONFIG.train_cfg.update(max_epochs=1, val_interval=1)


@pytest.fixture
def data():
    """Twelve clips, a few meters in size."""
    return make_data([make_clip(2, 20 + 3 * i, seed=i) for i in range(12)])


def steps(config, phase='train'):
    return config[f'{phase}_dataloader'].dataset.pipeline


@pytest.mark.parametrize('store', [False, True])
def test_good_data_pass_without_a_word(run, data, store):
    checkpoint, warned = run(data, store=store)
    assert 'CHECK THE DATA' not in warned
    _, warned = run(data, store=not store, checkpoint=checkpoint)
    assert 'CHECK THE DATA' not in warned
    assert 'TRAINING' not in warned


def few_persons(config):
    steps(config)[-2].num_person = 1


def other_graph(config):
    config.model.graph_cfg.layout = 'coco'


def other_channels(config):
    for phase in ('train', 'val', 'test'):
        steps(config, phase)[1].feats = ['j', 'bm']


def two_classes(config):
    config.model.cls_head.num_classes = 2
    for phase in ('train', 'val'):
        config[f'{phase}_dataloader'].dataset.num_classes = None


def repeated(config):
    two_classes(config)
    inner = config.train_dataloader.dataset
    joined = dict(type='ConcatDataset', datasets=[inner])
    config.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=joined)


@pytest.mark.parametrize('store', [False, True])
@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (few_persons, r'num_person=2 in the model, but the pipeline gives 1 person$'),
        (other_graph, r"graph of the model is of layout 'coco' \(17 joints\), .*'nturgb\+d' \(25 joints\)"),
        (other_channels, r'in_channels=3 in the model, but the pipeline gives 6 channels'),
        (two_classes, r'clip S002: label 2, expected 0\.\.1, since model\.cls_head\.num_classes=2'),
        (repeated, r'clip S002: label 2, expected 0\.\.1, since model\.cls_head\.num_classes=2'),
    ],
)
@pytest.mark.fault(
    'classes, layout, persons, joints or channels of the network are not those of the data',
    'fails in the first batch, without naming the key or the clip; in validation after an epoch',
    'error before training, with both numbers',
)
def test_a_network_for_other_data_is_refused(run, data, change, complaint, store):
    with pytest.raises(SystemExit, match=rf'(?s)^error: .*{complaint}'):
        run(data, change, store=store)


@pytest.mark.fault(
    'validation in millimeters, training in meters', 'nothing is said', 'error before training'
)
def test_other_units_in_validation_are_refused(run, data):
    for clip in data['annotations'][1::2]:
        clip['keypoint'] = clip['keypoint'] * 1000
    with pytest.raises(SystemExit, match=r'^error: the coordinates of val_dataloader are .* times as large'):
        run(data)


@pytest.mark.fault('test in other units than the training', 'nothing is said', 'error before the test')
def test_other_units_than_the_checkpoint_was_trained_on_are_refused(run, data):
    checkpoint, _ = run(data)
    for clip in data['annotations']:
        clip['keypoint'] = clip['keypoint'] * 100
    with pytest.raises(SystemExit, match=r"of test_dataloader are .* those of the checkpoint's training"):
        run(data, checkpoint=checkpoint)


@pytest.mark.parametrize('store', [False, True])
@pytest.mark.fault(
    'clips that are trained on and validated on', 'nothing is said', 'warned, with their names'
)
def test_clips_on_both_sides_are_warned_of(run, data, store):
    def equal(config):
        config.val_dataloader.dataset.split = 'train'

    _, warned = run(data, equal, store=store)
    assert "train_dataloader and val_dataloader have the same clips, split 'train'" in warned
    data['split']['other_val'] = data['split']['val'] + data['split']['train'][:2]

    def change(config):
        config.val_dataloader.dataset.split = 'other_val'

    _, warned = run(data, change, store=store)
    assert '2 of 8 clips of val_dataloader are trained on, too: S000, S002' in warned


@pytest.mark.parametrize('store', [False, True])
@pytest.mark.fault(
    'checkpoint of one protocol, tested under another whose test split holds its training clips',
    'nothing is said',
    'warned, with their number',
)
def test_a_test_on_clips_of_the_training_is_warned_of(run, data, store):
    names = [*data['split']['train'], *data['split']['val']]
    data['split'] = dict(
        xsub_train=names[:6], xsub_val=names[6:], xview_train=names[8:], xview_val=names[2:8]
    )

    def protocol(name):
        def change(config):
            config.train_dataloader.dataset.split = f'{name}_train'
            config.val_dataloader.dataset.split = config.test_dataloader.dataset.split = f'{name}_val'

        return change

    checkpoint, _ = run(data, protocol('xsub'))
    _, warned = run(data, protocol('xsub'), checkpoint=checkpoint)
    assert 'CHECK THE DATA' not in warned
    _, warned = run(data, protocol('xview'), checkpoint=checkpoint, store=store)
    expected = '4 of 6 clips of test_dataloader (split xview_val) were trained on, in split xsub_train'
    assert expected in warned
    # Also a training that begins with these weights remembers them.
    tuned, _ = run(data, lambda config: (protocol('xview')(config), config.update(load_from=str(checkpoint))))
    assert [trained['splits'] for trained in torch.load(tuned)['meta']['trained_on']] == [
        ['xsub_train'],
        ['xview_train'],
    ]


def test_another_graph_of_as_many_joints_and_idle_persons_are_warned_of(run, data):
    for clip in data['annotations']:
        clip['keypoint'] = clip['keypoint'][:1]
    bones = [(joint, joint - 1) for joint in range(1, 25)]

    def change(config):
        config.model.graph_cfg.layout = dict(name='chain', joints=25, bones=bones)

    _, warned = run(data, change)
    assert "graph of the model is of layout 'chain' (25 joints)" in warned
    assert 'no clip has a second person' in warned


def test_another_number_of_named_classes_is_warned_of(run, data):
    _, warned = run(data | dict(meta=dict(classes=['sit', 'walk', 'run', 'jump'])))
    assert 'is of 4 classes, but model.cls_head.num_classes=12' in warned


def test_every_clip_that_mmengine_has_packed_is_looked_at(tmp_path):
    clips = [make_clip(1 + seed % 2, seed=seed) for seed in range(40)]
    clips[17]['label'] = 9  # not among the 16 that go through the pipeline
    path = save(tmp_path, dict(annotations=clips, split=dict(train=[clip['frame_dir'] for clip in clips])))
    packed, plain = (
        LoaderData('train_dataloader', of(path, [], split='train')) for of in (PoseDataset, SkeletonDataset)
    )
    assert not packed.sets[0].data_list
    np.testing.assert_equal(packed.facts, plain.facts)
    (fault,) = _check_classes(4, packed)
    assert 'clip S017: label 9, expected 0..3' in fault


def test_of_large_trainings_a_sample_is_remembered():
    def of(numbers):
        data = LoaderData('test_dataloader', None)
        clip = dict(label=0, keypoint=np.zeros((1, 5, 1, 1)))
        data.facts = clip_facts([dict(frame_dir=str(number), **clip) for number in numbers])
        data.scale = 1.0
        return data

    trained = describe_training(of(range(5000)))
    assert len(trained['sample']) == REMEMBERED
    assert not list(check_against_training(trained, of(range(5000, 8000))))
    (warning,) = check_against_training(trained, of(range(4000, 8000)))
    assert 800 < int(warning.split()[1].replace(',', '')) < 1200


@pytest.mark.parametrize(('kind', 'persons'), [('MVC', 3), ('VC', None)])
def test_what_backbones_of_mmaction2_take(kind, persons):
    graph = dict(layout='coco', mode='spatial')
    backbone = STGCN(graph, num_stages=1, in_channels=2, num_person=3, data_bn_type=kind)
    assert _input_shape(backbone) == (persons, 17, 2)


def test_what_else_a_checkpoint_may_hold_under_that_name_is_passed_over():
    assert not [*check_against_training({'splits': 7}, None), *check_against_training('x', None)]


def test_looking_at_clips_leaves_random_numbers_alone():
    drawn = []
    for look in (True, False):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        if look:
            with undisturbed_random():
                random.random(), np.random.rand(), torch.rand(1)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]

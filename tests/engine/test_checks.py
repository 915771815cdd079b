"""Config, data, network and checkpoint that contradict each other; data in the runner of a shipped config."""

import copy
import logging
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.datasets import PoseDataset
from mmaction.registry import RUNNERS
from mmengine.config import Config

from mmdualhead.apis.trained import load_trained
from mmdualhead.datasets import SkeletonDataset, write_store
from mmdualhead.engine.checks import (
    LoaderData,
    _check_classes,
    _check_foreign_clips,
    _check_paramwise,
    check_checkpoint,
    check_config,
    check_resume,
    misspelt_keys,
    sources_of,
    undisturbed_random,
)
from mmdualhead.errors import Level
from mmdualhead.utils.plain_config import plain_config
from tests.datasets.clips import make_clip, make_data, save


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedulers', 'param_scheduler'),
        ('custom_hook', 'custom_hooks'),
        ('train_datalaoder', 'train_dataloader'),
        ('Load_from', 'load_from'),
        ('work_dirs', 'work_dir'),
    ],
)
def test_misspelt(key, meant):
    assert misspelt_keys({key: {}, meant: {}}) == {key: meant}


def test_names_of_ones_own_are_not_misspelt():
    own = (
        *(
            'ann_file',
            'dataset_type',
            'train_pipeline',
            'val_pipeline',
            'test_pipeline',
            'clip_len',
            'base_lr',
        ),
        *('num_classes', 'graph', 'stream', 'tta_pipeline', 'vis_backends', 'split', 'data_root', 'epochs'),
    )
    assert misspelt_keys(dict.fromkeys(own)) == {}


def test_known_keys_are_not_misspelt():
    known = ('model', 'cfg', 'custom_imports', 'auto_scale_lr', 'optim_wrapper', 'compile')
    assert misspelt_keys(dict.fromkeys(known)) == {}


@pytest.mark.parametrize(
    ('key', 'value', 'meant'),
    [
        ('max_epochs', 5, 'train_cfg.max_epochs'),
        ('max_epochs', 80, None),
        ('train_pipeline', [], 'train_dataloader.dataset.pipeline'),
        ('train_pipeline', [{'type': 'PadTo'}], None),
        ('lr_config', {'policy': 'step'}, 'param_scheduler'),
        ('my_own', 5, None),
    ],
)
def test_what_changes_nothing(key, value, meant):
    config = {
        'train_cfg': {'max_epochs': 80},
        'train_dataloader': {'dataset': {'pipeline': [{'type': 'PadTo'}]}},
        key: value,
    }
    assert misspelt_keys(config).get(key) == meant


def loader(split, stream, normalize='NormalizeSkeleton3D'):
    steps = [{'type': normalize}, {'type': 'SkeletonStream', 'stream': stream}]
    return {'dataset': {'ann_file': 'x.pkl', 'split': split, 'pipeline': steps}}


def test_loaders_that_contradict_each_other():
    config = {'train_dataloader': loader('xsub_train', 'j'), 'test_dataloader': loader('xsub_val', 'j')}
    assert not [*check_config(config)]
    (found,) = check_config({**config, 'val_dataloader': loader('xsub_val', 'b')})
    assert found.is_error
    assert str(found) == (
        "val_dataloader: training and evaluation differ in their stream: train_dataloader has 'j', "
        "val_dataloader has 'b'"
    )
    again = list(check_config({**config, 'test_dataloader': loader('xsub_train', 'j', 'PreNormalize2D')}))
    assert not any(finding.is_error for finding in again)
    assert [finding.text.partition(':')[0] for finding in again] == [
        'training and evaluation differ in their normalization',
        "has the clips of the training, split 'xsub_train'",
    ]


@pytest.mark.fault(
    'bones or motions are normalized, by a step after the one that forms them', 'trained on', 'warned'
)
def test_normalization_after_the_stream_is_warned_of():
    def found(stream):
        config = {'train_dataloader': loader('xsub_train', stream)}
        config['train_dataloader']['dataset']['pipeline'].reverse()
        return [str(finding) for finding in check_config(config)]

    (warning,) = found('bm')
    assert "NormalizeSkeleton3D normalizes joints, but follows SkeletonStream, which forms 'bm'" in warning
    assert found('j') == []


def test_loaders_of_other_frames_are_warned_of():
    config = {'train_dataloader': loader('xsub_train', 'j'), 'test_dataloader': loader('xsub_val', 'j')}
    for name, length in (('train', 64), ('test', 100)):
        steps = config[f'{name}_dataloader']['dataset']['pipeline']
        steps.append(dict(type='UniformSampleFrames', clip_len=length))
    (found,) = check_config(config)
    assert found.level is Level.WARNING
    assert 'frames: train_dataloader has 64, test_dataloader has 100' in found.text


@pytest.mark.fault(
    'max_iters with checkpoints by epochs, or val_begin after the end of the training',
    'the end of the training is not saved, or nothing is validated, and nothing is said',
    'warned, with what to set',
)
@pytest.mark.parametrize(
    ('loop', 'by_epoch', 'said'),
    [
        (dict(max_epochs=5, val_begin=6), True, 'train_cfg: val_begin=6, but max_epochs=5: nothing is'),
        (dict(max_epochs=5, val_begin=5, val_interval=9), True, ''),
        (dict(max_iters=500, val_begin=1), True, 'checkpoint: saves after epochs.*by_epoch=False.*are 500'),
        (dict(max_iters=500, val_begin=1), False, ''),
        ({}, True, ''),
    ],
)
def test_what_a_training_never_comes_to_is_warned_of(loop, by_epoch, said):
    hooks = dict(checkpoint=dict(by_epoch=by_epoch))
    found = [str(one) for one in check_config(dict(train_cfg=loop, default_hooks=hooks))]
    assert len(found) == bool(said)
    assert not found or re.search(said, found[0])


OPTIMIZER = dict(type='SGD', lr=0.1, weight_decay=5e-4)


@pytest.mark.parametrize('place', ['default_hooks', 'custom_hooks'])
def test_the_hook_that_draws_videos_is_refused_with_what_to_use(place):
    def errors(**options):
        hook = dict(type='VisualizationHook', **options)
        hooks = {'visualization': hook, 'checkpoint': {'interval': 2}}
        config = {place: hooks if place == 'default_hooks' else [hook]}
        return [str(finding) for finding in check_config(config) if finding.is_error]

    (found,) = errors(enable=True)
    assert 'ShowValidationHook' in found
    assert errors() == []  # it is off by default, as in MMAction2's own configs


@pytest.mark.fault(
    'a metric for one label per clip beside clips with several', '-', 'refused before training'
)
def test_metrics_of_one_label_are_refused_for_several():
    several = dict(dataset=dict(type='RepeatDataset', dataset=dict(type='SkeletonDataset', multi_class=True)))
    metrics = [dict(type='AccMetric'), dict(type='DualHeadMetric'), dict(type='DumpScores')]
    config = dict(val_dataloader=several, val_evaluator=metrics, test_evaluator=metrics[1])
    found = [str(finding) for finding in check_config(config) if finding.is_error]
    assert len(found) == 2
    assert all('mean_average_precision' in line and 'val_evaluator' in line for line in found)
    assert not list(check_config(dict(val_dataloader=several, val_evaluator=metrics[0])))


def run_config(change=None, split='train', stream='j', clip_len=24, **others):
    wrapper = dict(optim_wrapper=dict(optimizer={**OPTIMIZER, **(change or {})}))
    train = loader(split, stream)
    train['dataset']['pipeline'].append(dict(type='UniformSampleClips', clip_len=clip_len))
    return {**wrapper, 'train_dataloader': train, **others}


@pytest.mark.parametrize('is_old', [False, True])
@pytest.mark.parametrize(
    ('now', 'level', 'said'),
    [
        (run_config(), None, ''),
        (run_config(dict(lr=0.2)), Level.WARNING, r'optimizer\.lr: was 0\.1, is 0\.2.*no effect'),
        (run_config(dict(weight_decay=0)), Level.WARNING, r'weight_decay: was 0\.0005, is 0'),
        (run_config(dict(type='AdamW')), Level.ERROR, r'was SGD, is AdamW.*load_from'),
        (run_config(param_scheduler=[dict(type='MultiStepLR')]), Level.WARNING, 'param_scheduler.*no effect'),
        (run_config(split='xview_train'), Level.ERROR, 'clips that it began with.*load_from'),
        (run_config(stream='b'), Level.ERROR, "stream: trained with 'j', now 'b'.*load_from"),
        (run_config(clip_len=8), Level.ERROR, 'frames: trained with 24, now 8.*load_from'),
    ],
)
@pytest.mark.fault(
    '`--resume` with another learning rate, weight decay, schedule, data set, stream, frames or optimizer',
    'changes nothing, or half; a traceback',
    'warned that it has no effect, or refused, with what to do',
)
def test_what_resuming_does_not_change(now, level, said, is_old):
    saved = run_config(param_scheduler=[])
    saved['train_dataloader']['dataset']['ann_file'] = 'moved/x.pkl'
    meta = dict(cfg=Config(saved).pretty_text) if is_old else dict(plain_config=plain_config(saved))
    found = list(check_resume(meta, {'param_scheduler': [], **now}))
    assert [finding.level for finding in found] == ([level] if level else [])
    assert not found or re.search(said, str(found[0]))


@pytest.mark.fault(
    '`--resume` with an annotation file of the same name that has other clips or labels',
    'trained on',
    'refused, with what to do',
)
def test_a_run_is_resumed_on_the_clips_that_it_began_with(tmp_path):
    def fingerprint(clips):
        split = dict(train=[clip['frame_dir'] for clip in clips])
        of = SkeletonDataset(save(tmp_path, dict(annotations=clips, split=split)), [], split='train')
        return LoaderData('train_dataloader', of, {}).fingerprint

    clips = [make_clip(seed=seed) for seed in range(3)]
    before = fingerprint(clips)
    clips[2]['label'] += 1
    now = fingerprint(clips)
    (found,) = check_resume(dict(fingerprint=before), {}, now)
    assert (found.is_error, found.text.partition(':')[0]) == (True, 'the annotation file has changed')
    clips[2]['label'] -= 1
    assert list(check_resume(dict(fingerprint=before), {}, fingerprint(clips[::-1]))) == []
    assert list(check_resume({}, {}, now)) == []  # of an earlier version


QUICKSTART = Path(__file__).parents[2] / 'configs' / 'quickstart_j.py'


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Runs the quickstart on an annotation file; gives the checkpoint and what was warned of."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
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
    return make_data([make_clip(2, 20 + 3 * i, seed=i, label=i // 2 * 2 % 4) for i in range(12)])


def steps(config, phase='train'):
    return config[f'{phase}_dataloader'].dataset.pipeline


@pytest.mark.parametrize('store', [False, True])
def test_good_data_pass_without_a_word(run, data, store):
    checkpoint, warned = run(data, store=store)
    assert 'dataloader' not in warned
    _, warned = run(data, store=not store, checkpoint=checkpoint)
    assert 'dataloader' not in warned
    assert 'TRAINED' not in warned


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


def no_classifier(config):
    config.model = dict(
        type='RecognizerGCN',
        backbone=dict(type='STGCN', graph_cfg=dict(layout='nturgb+d', mode='stgcn_spatial')),
    )


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
        (
            other_graph,
            r"clips have layout 'nturgb\+d' \(25 joints\), the graph of the model has layout 'coco'",
        ),
        (other_channels, r'in_channels=3 in the model, but the pipeline gives 6 channels'),
        (two_classes, r'clip S002, label: 2, expected 0\.\.1, since model\.cls_head\.num_classes=2'),
        (no_classifier, r'model: has no cls_head'),
        (repeated, r'clip S002, label: 2, expected 0\.\.1, since model\.cls_head\.num_classes=2'),
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
    with pytest.raises(
        SystemExit,
        match=r'^error: val_dataloader: .* of train_dataloader, bones are 908 times as long',
    ):
        run(data)


@pytest.mark.fault(
    'classes in another order in the evaluation file, converted apart from the training file',
    'counted as errors of the model',
    'error before the run, and before a test; names the class and both labels',
)
def test_classes_in_another_order_are_refused(run, data, tmp_path):
    names = [f'class {i}' for i in range(12)]
    data['meta'] = dict(layout='nturgb+d', classes=names)
    checkpoint, _ = run(data)
    other = dict(data, meta=dict(layout='nturgb+d', classes=names[::-1]))
    (tmp_path / 'other').mkdir()
    file = save(tmp_path / 'other', other)

    def change(config):
        config.val_dataloader.dataset.update(ann_file=file)

    message = "^error: {}_dataloader: .*class 'class 0' has label 11, but 0 in those .*--classes"
    with pytest.raises(SystemExit, match=message.format('val')):
        run(data, change)
    with pytest.raises(SystemExit, match=message.format('test')):
        run(other, checkpoint=checkpoint)
    data['meta']['classes'] = [f'{name}, spelled otherwise' for name in names]
    run(data, checkpoint=checkpoint)


@pytest.mark.fault(
    'ConcatDataset of files whose joints have another unit, or with ignore_keys whose classes another order',
    'trained on',
    'error before training, with both labels or lengths',
)
def test_files_that_are_joined_agree(run, data, tmp_path):
    names = [f'class {i}' for i in range(12)]
    data['meta'] = dict(layout='nturgb+d', classes=names)
    others = {'classes': dict(data, meta=dict(layout='nturgb+d', classes=names[::-1]))}
    others['unit'] = dict(data, annotations=copy.deepcopy(data['annotations']))
    for clip in others['unit']['annotations']:
        clip['keypoint'] = clip['keypoint'] * 1000

    def joined_with(other):
        def change(config):
            (tmp_path / other).mkdir()
            inner = config.train_dataloader.dataset
            second = dict(inner, ann_file=save(tmp_path / other, others[other]))
            config.train_dataloader.dataset = dict(
                type='ConcatDataset', datasets=[inner, second], ignore_keys='classes'
            )

        return change

    message = "^error: train_dataloader: .*class 'class 0' has label 11, but 0 in those of .*pkl"
    with pytest.raises(SystemExit, match=message):
        run(data, joined_with('classes'))
    message = r'train_dataloader: compared with those of .*pkl, bones are 1e\+03 times as long'
    with pytest.raises(SystemExit, match=message):
        run(data, joined_with('unit'))


@pytest.mark.fault(
    'test_mode=True missing in a test pipeline, or an augmentation left in it',
    'other scores in every run, and nothing is said',
    'warned',
)
def test_a_random_test_is_warned_of(run, data):
    checkpoint, warned = run(data)
    assert 'at random' not in warned

    def change(config):
        for step in steps(config, 'test'):
            step.pop('test_mode', None)

    _, warned = run(data, change, checkpoint=checkpoint)
    assert 'test_dataloader: the pipeline draws at random' in warned


@pytest.mark.fault('test with another number of frames than the training', 'nothing is said', 'warned')
def test_other_frames_than_in_training_are_warned_of(run, data):
    checkpoint, _ = run(data)

    def change(config):
        for step in steps(config, 'test'):
            if 'clip_len' in step:
                step['clip_len'] = 8

    _, warned = run(data, change, checkpoint=checkpoint)
    assert 'TRAINED ON OTHER INPUT: frames: trained with 24, now 8' in warned


@pytest.mark.fault('test in other units than the training', 'nothing is said', 'error before the test')
def test_other_units_than_the_checkpoint_was_trained_on_are_refused(run, data):
    checkpoint, _ = run(data)
    for clip in data['annotations']:
        clip['keypoint'] = clip['keypoint'] * 100
    with pytest.raises(
        SystemExit, match=r'test_dataloader: .*that the checkpoint was trained on, bones are 90\.8 times'
    ):
        run(data, checkpoint=checkpoint)


@pytest.mark.parametrize('store', [False, True])
@pytest.mark.fault(
    'clips that are trained on and validated on', 'nothing is said', 'warned, with their names'
)
def test_clips_on_both_sides_are_warned_of(run, data, store):
    def equal(config):
        config.val_dataloader.dataset.split = 'train'

    _, warned = run(data, equal, store=store)
    assert "val_dataloader: has the clips of the training, split 'train'" in warned
    data['split']['other_val'] = data['split']['val'] + data['split']['train'][:2]

    def change(config):
        config.val_dataloader.dataset.split = 'other_val'

    _, warned = run(data, change, store=store)
    assert 'val_dataloader: 2 of 8 clips are also in the training set: S000, S002' in warned


@pytest.mark.parametrize('store', [False, True])
@pytest.mark.fault(
    'checkpoint of one protocol, tested under another whose test split holds its training clips',
    'nothing is said',
    'warned, with their number',
)
def test_a_test_on_clips_of_the_training_is_warned_of(run, data, store, tmp_path):
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
    assert 'dataloader' not in warned
    _, warned = run(data, protocol('xview'), checkpoint=checkpoint, store=store)
    expected = 'test_dataloader (split xview_val): 4 of 6 clips were trained on, in split xsub_train'
    assert expected in warned
    # Also a run that begins with these weights remembers them.
    tuned, _ = run(data, lambda config: (protocol('xview')(config), config.update(load_from=str(checkpoint))))
    sources = torch.load(tuned)['meta']['trained_on']
    Path(sources[0]['ann_file']).rename(tmp_path / 'elsewhere.pkl')
    data['split'].pop('xsub_train')
    _, warned = run(data, protocol('xview'), checkpoint=checkpoint)
    assert 'THE TEST may hold clips that the checkpoint was trained on, in split xsub_train' in warned
    assert [source['split'] for source in sources] == ['xsub_train', 'xview_train']


def test_another_graph_of_as_many_joints_and_idle_persons_are_warned_of(run, data):
    for clip in data['annotations']:
        clip['keypoint'] = clip['keypoint'][:1]
    bones = [(joint, joint - 1) for joint in range(1, 25)]

    def change(config):
        config.model.graph_cfg.layout = dict(name='chain', joints=25, bones=bones)

    _, warned = run(data, change)
    assert "the graph of the model has layout 'chain' (25 joints)" in warned
    assert 'no clip has a second person' in warned


def test_another_number_of_named_classes_is_warned_of(run, data):
    _, warned = run(data | dict(meta=dict(classes=['sit', 'walk', 'run', 'jump'])))
    assert 'names 4 classes, but model.cls_head.num_classes=12' in warned


@pytest.mark.fault(
    'training on a file that names more classes than the network has',
    '-',
    'warned; the checkpoint has the names of its classes',
)
def test_more_names_than_classes(run, data):
    names = [f'class {i}' for i in range(15)]
    checkpoint, warned = run(data | dict(meta=dict(classes=names)))
    assert 'names 15 classes, but model.cls_head.num_classes=12' in warned
    assert load_trained(checkpoint).classes == tuple(names[:12])


def test_every_clip_that_mmengine_has_packed_is_looked_at(tmp_path):
    clips = [make_clip(1 + seed % 2, seed=seed) for seed in range(40)]
    clips[17]['label'] = 9  # not among the 16 that go through the pipeline
    path = save(tmp_path, dict(annotations=clips, split=dict(train=[clip['frame_dir'] for clip in clips])))
    packed, plain = (
        LoaderData('train_dataloader', of(path, [], split='train'), {})
        for of in (PoseDataset, SkeletonDataset)
    )
    assert not packed.sets[0].data_list
    np.testing.assert_equal(packed.facts, plain.facts)
    (fault,) = _check_classes(4, packed)
    assert 'clip S017, label: 9, expected 0..3' in str(fault)


@pytest.mark.fault(
    "NaN or missing joints at -1 in a clip of MMAction2's PoseDataset, or one without depth",
    'trained on, or fails in a batch',
    'refused before training as with SkeletonDataset, with file, split, clip and joint',
)
@pytest.mark.parametrize(
    ('change', 'found'),
    [
        (lambda x: np.where(x > 5, np.nan, x), 'expected finite numbers.*S038: nan at person 0, frame'),
        (lambda x: x - x - 1, 'expected zeros for missing joints.*S038.*-1, -1, -1, in'),
        (lambda x: x[..., :2], 'expected 3 coordinates .for 3-D normalization.*S038'),
    ],
)
def test_clips_of_mmactions_data_set_are_checked(tmp_path, change, found):
    clips = [make_clip(1 + seed % 2, seed=seed) for seed in range(250)]
    config = dict(train_dataloader=loader('train', 'j'))

    def faults():
        split = dict(train=[clip['frame_dir'] for clip in clips])
        of = PoseDataset(save(tmp_path, dict(annotations=clips, split=split)), [], split='train')
        return [str(one) for one in _check_foreign_clips(LoaderData('train_dataloader', of, config))]

    assert faults() == []
    clips[38]['keypoint'][0, 3, :4] = 9.5
    clips[38]['keypoint'] = change(clips[38]['keypoint'])
    (fault,) = faults()
    assert re.search(rf"data\.pkl, split 'train', keypoint: {found}", fault, re.DOTALL)


@pytest.mark.fault(
    'a name of a part in `paramwise_cfg` that no weight has, or a misspelt multiplier',
    'nothing is frozen or slowed down, and nothing is said',
    'warned, with the parts that there are',
)
def test_rates_of_parts_that_are_not_there_are_warned_of():
    network = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(1, 1), cls_head=torch.nn.Linear(1, 1)))

    def found(keys, **others):
        wrapper = dict(paramwise_cfg=dict(custom_keys=keys, **others))
        return [str(one) for one in _check_paramwise(wrapper, network)]

    assert (
        found(dict(backbone=dict(lr_mult=0, momentum=0.8), bias=dict(decay_mult=0)), norm_decay_mult=0) == []
    )
    (fault,) = found(dict(backbne=dict(lr_mult=0)))
    assert fault == (
        "optim_wrapper.paramwise_cfg.custom_keys: no weight has 'backbne' in its name, so the entry changes "
        'nothing; there are backbone, cls_head'
    )
    (fault,) = found(dict(backbone=dict(lr_mul=0)))
    assert "custom_keys.backbone: nothing reads 'lr_mul'; did you mean 'lr_mult'?" in fault
    (fault,) = found({}, norm_decay=0)
    assert "paramwise_cfg: nothing reads 'norm_decay'" in fault


@pytest.mark.fault(
    'classes without a training clip: splits by class, or labels that count from 1 in one of two files',
    'counted as errors of the model',
    'warned, with the number of clips and the classes',
)
def test_classes_that_are_not_trained_are_warned_of(run, data):
    data['meta'] = dict(layout='nturgb+d', classes=[f'class {i}' for i in range(12)])
    for clip in data['annotations'][1::2]:
        clip['label'] += 1
    _, warned = run(data)
    expected = '6 of 6 clips are of classes without a clip in train_dataloader: 1 (class 1), 3 (class 3)'
    assert f'val_dataloader: {expected}' in warned


def test_what_earlier_and_foreign_checkpoints_hold_under_that_name():
    earlier = dict(splits=['xsub_train'], clips=3, sample=[1], scale=1.0)
    assert sources_of(dict(trained_on=[earlier, 'x', {'splits': 7}, dict(ann_file='a', split='b')])) == [
        dict(ann_file=None, split='xsub_train'),
        dict(ann_file='a', split='b'),
    ]
    config = dict(train_dataloader=loader('xsub_train', 'j'))
    expected = [dict(ann_file='x.pkl', split='xsub_train')]
    assert sources_of(dict(plain_config=plain_config(config))) == expected


def test_a_check_that_could_not_be_made_says_so():
    data = LoaderData('test_dataloader', None, {})
    (found,) = check_checkpoint(None, (), data)
    assert (found.level, found.text) == (
        Level.NOTE,
        'does not say what it was trained on; nothing is compared',
    )


def test_looking_at_clips_leaves_random_numbers_alone():
    drawn = []
    for look in (True, False):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        if look:
            with undisturbed_random():
                random.random(), np.random.rand(), torch.rand(1)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ('wrapper', 'slow', 'warned'),
    [
        ('AmpOptimWrapper', 'no bfloat16', True),
        ('AmpOptimWrapper', None, False),
        ('OptimWrapper', 'no bfloat16', False),
    ],
)
def test_half_precision_that_is_slow_is_warned_of(monkeypatch, wrapper, slow, warned):
    monkeypatch.setattr('mmdualhead.engine.checks.slow_half', lambda _: slow)
    found = [str(finding) for finding in check_config(dict(optim_wrapper=dict(type=wrapper)))]
    assert found == ['--amp: no bfloat16; train without --amp'] * warned

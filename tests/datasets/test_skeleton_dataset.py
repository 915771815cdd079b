import copy
import pickle

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules
from mmengine.dataset import BaseDataset, ClassBalancedDataset, pseudo_collate
from torch.utils.data import DataLoader

from mmdualhead.datasets import SkeletonDataset, skeleton_dataset, write_store
from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.datasets.transforms import normalize
from mmdualhead.errors import UserError
from mmdualhead.skeletons import NTU
from tests.datasets.clips import PIPELINE, make_annotations, make_data, save

MMACTION = [
    dict(type='PreNormalize3D'),
    dict(type='GenSkeFeat', dataset='nturgb+d', feats=['j']),
    dict(type='UniformSampleFrames', clip_len=20),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=2),
    dict(type='PackActionInputs', meta_keys=('frame_dir',)),
]


@pytest.fixture(params=['pickle', 'store'])
def ann_file(request, tmp_path):
    """The same annotations as either kind of file."""
    if request.param == 'pickle':
        return save(tmp_path, make_data())
    write_store(tmp_path / 'data.store', make_data())
    return str(tmp_path / 'data.store')


@pytest.fixture
def warnings(monkeypatch):
    """The warnings that are logged."""
    said = []
    monkeypatch.setattr(skeleton_dataset, 'print_log', lambda text, **_: said.append(text))
    return said


def forming(pipeline, stream):
    """The pipeline with another stream."""
    return [step | dict(stream=stream) if step['type'] == 'SkeletonStream' else step for step in pipeline]


def batches(dataset, **loader):
    np.random.seed(0)
    return list(DataLoader(dataset, batch_size=4, collate_fn=pseudo_collate, **loader))


@pytest.mark.parametrize('stream', ['j', 'b', 'jm', 'bm', 'j+b'])
def test_gives_what_mmaction_gives(ann_file, tmp_path, stream):
    reference = copy.deepcopy(MMACTION)
    reference[1]['feats'] = stream.split('+')
    register_all_modules()
    theirs = DATASETS.build(
        dict(type='PoseDataset', ann_file=save(tmp_path, make_data()), pipeline=reference, split='train')
    )
    ours = SkeletonDataset(ann_file, forming(PIPELINE, stream), split='train')
    assert len(ours) == len(theirs) == 6
    for index in range(6):
        np.random.seed(index)
        expected = theirs[index]
        np.random.seed(index)
        found = ours[index]
        torch.testing.assert_close(found['inputs'], expected['inputs'], rtol=0, atol=0)
        assert found['data_samples'].gt_label == expected['data_samples'].gt_label
        assert found['data_samples'].frame_dir == expected['data_samples'].frame_dir


def test_takes_mmactions_own_pipeline(ann_file, tmp_path):
    register_all_modules()
    given = dict(pipeline=MMACTION, split='val')
    ours = DATASETS.build(dict(type='SkeletonDataset', ann_file=ann_file, **given))
    theirs = DATASETS.build(dict(type='PoseDataset', ann_file=save(tmp_path, make_data()), **given))
    found = []
    for dataset in (ours, theirs):
        np.random.seed(0)
        found.append(dataset[0]['inputs'])
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_workers_and_pickled_copies_read_the_same(ann_file):
    pipeline = [*PIPELINE[:2], dict(type='ReplayPad', length=30), *PIPELINE[3:]]
    dataset = SkeletonDataset(ann_file, pipeline, split='train')
    expected = batches(dataset)
    for others in (batches(dataset, num_workers=2), batches(pickle.loads(pickle.dumps(dataset)))):
        for found, alone in zip(others, expected, strict=True):
            torch.testing.assert_close(found['inputs'], alone['inputs'])


def test_subsets(ann_file):
    dataset = SkeletonDataset(ann_file, PIPELINE, split='train')
    names = [dataset[index]['data_samples'].frame_dir for index in range(6)]
    for indices, expected in ((2, names[:2]), (-2, names[-2:]), ([4, 0], [names[4], names[0]])):
        subset = dataset.get_subset(indices)
        assert [subset[index]['data_samples'].frame_dir for index in range(len(subset))] == expected
    few = SkeletonDataset(ann_file, PIPELINE, split='train', indices=[1, 3])
    assert [few[index]['data_samples'].frame_dir for index in range(2)] == [names[1], names[3]]


def test_a_subset_does_not_remember_the_copies_before(ann_file):
    """An object that is gone may leave its id to a step of a later data set's pipeline."""
    remembered = BaseDataset._copy_without_annotation.__defaults__[0]
    before = dict(remembered)
    SkeletonDataset(ann_file, PIPELINE, split='train').get_subset(2)
    assert remembered == before


def test_class_balanced(ann_file):
    dataset = SkeletonDataset(ann_file, PIPELINE, split='train')
    assert [dataset.get_cat_ids(index) for index in range(3)] == [[0], [2], [0]]
    assert len(ClassBalancedDataset(dataset, oversample_thr=0.9)) > 6


def test_normalized_files_are_not_normalized_again(tmp_path):
    raw = make_data()
    ready = copy.deepcopy(raw) | dict(meta=dict(normalized=True))
    for clip in ready['annotations']:
        clip['keypoint'] = normalize.normalize_clip(clip['keypoint'], NTU).keypoint.astype(np.float32)
    pipeline = forming([*PIPELINE[:2], dict(type='ReplayPad', length=30), *PIPELINE[3:]], 'b')
    expected = batches(SkeletonDataset(save(tmp_path, raw), pipeline, split='val'))
    found = batches(SkeletonDataset(save(tmp_path, ready), pipeline, split='val'))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one['inputs'], other['inputs'], rtol=0, atol=1e-6)


def test_numpy_labels_and_missing_lengths(tmp_path):
    data = make_data()
    for clip in data['annotations']:
        clip['label'] = np.int64(clip['label'])
        del clip['total_frames']
    register_all_modules()
    dataset = SkeletonDataset(save(tmp_path, data), MMACTION, split='train')
    assert [int(dataset[index]['data_samples'].gt_label) for index in range(3)] == [0, 2, 0]


def test_missing_file_says_where_it_comes_from(tmp_path):
    path = str(tmp_path / 'ntu60_3d.pkl')
    with pytest.raises(FileNotFoundError) as caught:
        SkeletonDataset(path, PIPELINE, split='train', ann_source='Get it from X, then run Y.')
    assert str(caught.value) == f'annotation file {path} is missing. Get it from X, then run Y.'


def test_missing_pickle_beside_a_store(tmp_path):
    write_store(tmp_path / 'data.store', make_data())
    with pytest.raises(FileNotFoundError, match=r'data\.pkl is missing\. .*data\.store is present'):
        SkeletonDataset(str(tmp_path / 'data.pkl'), PIPELINE, split='train')


def test_faults_end_the_building_with_all_of_them(tmp_path):
    data = make_data()
    data['annotations'][0]['label'] = 60
    data['annotations'][2]['keypoint'][0, 4, 3, 1] = np.nan
    path = save(tmp_path, data)
    with pytest.raises(UserError) as caught:
        SkeletonDataset(path, PIPELINE, split='train', num_classes=4)
    assert str(caught.value) == (
        '2 errors:\n'
        f"  {path}, split 'train', label: expected 0..3 (num_classes=4); 1 clip differs:\n"
        '    S000: 60\n'
        f"  {path}, split 'train', keypoint: expected finite numbers; 1 clip differs:\n"
        '    S002: nan at person 0, frame 4, joint 3, channel 1; 1 in all\n'
        '  With SkeletonDataset(check=False), NormalizeSkeleton3D treats such joints as missing.'
    )
    assert len(SkeletonDataset(path, PIPELINE, split='val', num_classes=4)) == 6
    assert len(SkeletonDataset(path, PIPELINE, split='train', num_classes=4, check=False)) == 6


def test_clips_too_long_for_padding_end_the_building(tmp_path):
    pipeline = [dict(type='PadTo', length=45), *PIPELINE[1:]]
    with pytest.raises(UserError, match=r'up to 45 frames; 1 clip differs:\n    S010: 50\n.*ReplayPad'):
        SkeletonDataset(save(tmp_path, make_data()), pipeline, split='train')


@pytest.mark.parametrize('size', [(1080, 1920), (480, 640)])
def test_a_picture_size_that_the_pipeline_states_is_enough(tmp_path, size):
    data = make_data(make_annotations(joints=17))
    for clip in data['annotations']:
        clip['keypoint'] = clip['keypoint'][..., :2] * 30 + np.array(size[::-1]) / 2
    path, last = save(tmp_path, data), MMACTION[2:]
    stream = dict(type='GenSkeFeat', dataset='coco', feats=['j'])
    with pytest.raises(UserError, match=r'img_shape: expected (.|\n)*S000: missing'):
        SkeletonDataset(path, [dict(type='PreNormalize2D'), stream, *last], split='train')
    pipeline = [dict(type='PreNormalize2D', img_shape=size), stream, *last]
    assert SkeletonDataset(path, pipeline, split='train')[0]['inputs'].abs().max() < 1


@pytest.mark.fault(
    'clips in whole pixels, normalized by the image', 'truncated to -1, 0 or 1', 'normalized as fractions'
)
def test_whole_pixels_are_not_truncated(tmp_path):
    clip = make_annotations(1)[0]
    clip |= dict(keypoint=(100 * clip['keypoint'][..., :2]).astype(np.int16) + 500, img_shape=(1000, 1000))
    data = dict(split=dict(train=[clip['frame_dir']]), annotations=[clip])
    dataset = SkeletonDataset(save(tmp_path, data), [dict(type='PreNormalize2D')], split='train', check=False)
    expected = (clip['keypoint'] - 500) / 500
    np.testing.assert_allclose(dataset[0]['keypoint'], expected, atol=1e-6)
    assert clip['keypoint'].dtype == np.int16


@pytest.mark.parametrize(('test_mode', 'length'), [(False, 5), (True, 6)])
def test_empty_clips_are_left_out_of_training_and_said(tmp_path, warnings, test_mode, length):
    data = make_data()
    data['annotations'][4]['keypoint'] *= 0
    dataset = SkeletonDataset(save(tmp_path, data), PIPELINE, split='train', test_mode=test_mode)
    assert len(dataset) == length
    (warning,) = warnings
    assert 'S004: no person (all zeros)' in warning


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(split='xsub'), "no split 'xsub'"),
        (dict(split=None), 'choose a split'),
        (dict(pipeline=[dict(type='SkeletonStream', stream='x')]), 'unknown stream'),
        (
            dict(pipeline=[dict(type='SkeletonStream', layout='coco', stream='j')]),
            "17 joints \\(layout 'coco'\\)",
        ),
        (dict(data_prefix=dict(video='videos')), 'PoseDataset'),
    ],
)
def test_wrong_arguments(ann_file, change, said):
    with pytest.raises(ValueError, match=said):
        SkeletonDataset(**dict(ann_file=ann_file, pipeline=PIPELINE, split='train') | change)


def test_an_empty_split(tmp_path):
    data = make_data()
    data['split']['train'] = []
    with pytest.raises(ValueError, match="split 'train' has no clips"):
        SkeletonDataset(save(tmp_path, data), PIPELINE, split='train')


def test_several_classes_a_clip(tmp_path):
    data = make_data()
    for clip in data['annotations']:
        clip['label'] = [clip['label'], 3]
    dataset = SkeletonDataset(save(tmp_path, data), PIPELINE, split='train', num_classes=4, multi_class=True)
    assert dataset[2]['data_samples'].gt_label.tolist() == [1, 0, 0, 1]


@pytest.mark.fault(
    'a label of several that is not a class', 'IndexError in an epoch', 'named before training'
)
@pytest.mark.parametrize(
    ('labels', 'said'),
    [
        ([0, 4], r'label: expected 0\.\.3 .*S000: 4'),
        ([1, -1, 3], '-1'),
        ([[1]], 'a list of integers'),
        (1, 'a list'),
    ],
)
def test_one_of_several_classes_that_is_not_one(tmp_path, labels, said):
    data = make_data()
    for clip in data['annotations']:
        clip['label'] = labels
    with pytest.raises(UserError, match=f'(?s){said}'):
        SkeletonDataset(save(tmp_path, data), PIPELINE, split='train', num_classes=4, multi_class=True)


@pytest.mark.parametrize('split', [0, '0'])
def test_folds_named_by_numbers(tmp_path, split):
    data = make_data()
    data['split'] = {0: data['split']['train'], 1: data['split']['val']}
    path = save(tmp_path, data)
    dataset = SkeletonDataset(path, PIPELINE, split=split)
    assert {dataset.get_data_info(i)['frame_dir'] for i in range(len(dataset))} == set(data['split'][0])
    assert check_file(path)[1]


@pytest.mark.parametrize('alone', [False, True])
def test_annotations_without_splits_are_read_as_mmaction_reads_them(tmp_path, alone):
    clips = make_data()['annotations']
    path = save(tmp_path, clips[0] if alone else clips)
    ours = SkeletonDataset(path, PIPELINE, split=None)
    assert len(ours) == (1 if alone else len(clips))
    if not alone:
        register_all_modules()
        theirs = DATASETS.build(dict(type='PoseDataset', ann_file=path, pipeline=MMACTION, split=None))
        assert [ours.get_data_info(i)['frame_dir'] for i in range(len(ours))] == [
            theirs.get_data_info(i)['frame_dir'] for i in range(len(theirs))
        ]
    with pytest.raises(UserError, match="no split 'train'"):
        SkeletonDataset(path, PIPELINE, split='train')


def test_annotations_without_splits_are_checked(tmp_path):
    clips = make_data()['annotations']
    clips[1]['keypoint'] = clips[1]['keypoint'][..., :2]
    with pytest.raises(UserError, match='keypoint'):
        SkeletonDataset(save(tmp_path, clips), PIPELINE, split=None)


def test_skeletons_of_their_own_files_run_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / 'ran').touch, ()

    data = make_data()
    for clip in data['annotations']:
        (tmp_path / f'{clip["frame_dir"]}.pkl').write_bytes(pickle.dumps(dict(keypoint=clip['keypoint'])))
    prefix = dict(skeleton=str(tmp_path))
    dataset = SkeletonDataset(save(tmp_path, data), PIPELINE, split='train', data_prefix=prefix)
    name = dataset.get_data_info(0)['frame_dir']
    (tmp_path / f'{name}.pkl').write_bytes(pickle.dumps(dict(keypoint=Evil())))
    with pytest.raises(ValueError, match=f'{name}.pkl was refused'):
        dataset.get_data_info(0)
    assert not (tmp_path / 'ran').exists()
